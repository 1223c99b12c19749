"""Faces in photos: found, measured, cut out the way FFHQ cuts them, and put back."""
