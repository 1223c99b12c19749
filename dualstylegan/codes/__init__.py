"""Latent codes: inversion, destylization, refinement, sampling, and tables of codes."""
