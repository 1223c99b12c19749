"""Invert a photo to Z+ and render it: python examples/hello_invert.py MODEL PHOTO OUTPUT."""

from __future__ import annotations

import sys

from dualstylegan import PortraitModel
from dualstylegan.io.images import make_grid, read_image, tensor_to_image


def main(folder: str, photo: str, output: str) -> None:
    """Show the aligned face, and g of the code by the encoder alone and after 50 steps."""
    model = PortraitModel.from_pretrained(folder)
    face = model.align(read_image(photo))
    images = [face.image]
    for steps in (0, 50):
        # Z+: a row of 512 numbers per layer of the generator
        fitted = model.fit(face.image, steps, face.frame)
        print(f"{steps} steps: likeness {fitted.likeness}")
        image = model.render(fitted.code_LD[None], None, size=face.image.width)[0]
        images.append(tensor_to_image(image))
    make_grid(images, 3, ("photo", "encoder", "50 steps")).save(output)


if __name__ == "__main__":
    main(*sys.argv[1:])
