"""Exemplars of the demo: generated faces, exaggerated by smooth warps, then painted."""
