"""Restyle a photo: python examples/hello_transfer.py MODEL PHOTO STYLE OUTPUT."""

from __future__ import annotations

import sys

from dualstylegan import PortraitModel
from dualstylegan.io.images import read_image


def main(folder: str, photo: str, style: str, output: str) -> None:
    """Find the face of the photo, restyle it and write the result."""
    model = PortraitModel.from_pretrained(folder)
    model.transfer(read_image(photo), style).save(output)


if __name__ == "__main__":
    main(*sys.argv[1:])
