"""Faces in photos: detection, landmarks, the FFHQ crop, and pasting it back."""
