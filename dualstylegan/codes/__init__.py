"""Latent codes: inversion, destylization, refinement, sampling, and their tables."""
