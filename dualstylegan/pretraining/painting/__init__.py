"""Known processes from a face to an artistic portrait: warps, palettes, brushes."""
