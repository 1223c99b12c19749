"""Photographic degradations: what a real photograph has and a generated face lacks."""
