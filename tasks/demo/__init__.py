"""The demo's own exemplars: generated faces, exaggerated by smooth warps, then painted."""
