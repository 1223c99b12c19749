"""Add a style without training: python examples/hello_add_style.py MODEL PORTRAIT NAME OUTPUT."""

from __future__ import annotations

import sys

from dualstylegan import PortraitModel, add_style
from dualstylegan.io.images import read_image


def main(folder: str, portrait: str, name: str, output: str) -> None:
    """Fit the codes of an artistic portrait and write a model that has it as a style."""
    model = PortraitModel.from_pretrained(folder)
    added = add_style(model, name, read_image(portrait))
    print(f"loss {added.loss_before:.3f} -> {added.loss_after:.3f}")
    added.model.save_pretrained(output)


if __name__ == "__main__":
    main(*sys.argv[1:])
