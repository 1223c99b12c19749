"""Render a face in every style: python examples/hello_style_grid.py MODEL PHOTO OUTPUT."""

from __future__ import annotations

import sys

from dualstylegan import PortraitModel
from dualstylegan.io.images import make_grid, read_image

COLUMNS = 4


def main(folder: str, photo: str, output: str) -> None:
    """Read the photo once, restyle it in all styles and write a labelled grid."""
    model = PortraitModel.from_pretrained(folder)
    sitter = model.read(read_image(photo))
    results = [model.restyle(sitter, name) for name in model.styles.names]
    make_grid(results, COLUMNS, model.styles.names).save(output)


if __name__ == "__main__":
    main(*sys.argv[1:])
