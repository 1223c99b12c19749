"""Render a face in every style: python examples/hello_style_grid.py MODEL PHOTO OUTPUT."""

from __future__ import annotations

import sys

from dualstylegan import PortraitModel
from dualstylegan.io.images import make_grid, read_image, tensor_to_image

COLUMNS = 4


def main(folder: str, photo: str, output: str) -> None:
    """Fit the face once, render it in all styles and write a labelled grid."""
    model = PortraitModel.from_pretrained(folder)
    face = model.align(read_image(photo))
    code_LD = model.fit(face.image, frame=face.frame).code_LD
    styles_SLD = model.styles.extrinsic_SLD.to(model.device)
    results = [tensor_to_image(model.render(code_LD[None], one[None])[0]) for one in styles_SLD]
    make_grid(results, COLUMNS, model.styles.names).save(output)


if __name__ == "__main__":
    main(*sys.argv[1:])
