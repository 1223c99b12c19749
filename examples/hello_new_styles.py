"""Draw new styles from the sampler: python examples/hello_new_styles.py MODEL PHOTO OUTPUT."""

from __future__ import annotations

import sys

from dualstylegan import PortraitModel
from dualstylegan.io.images import make_grid, read_image, tensor_to_image


def main(folder: str, photo: str, output: str) -> None:
    """Restyle a photo by four extrinsic codes that belong to no exemplar."""
    model = PortraitModel.from_pretrained(folder)
    face = model.align(read_image(photo))
    code_LD = model.fit(face.image, frame=face.frame).code_LD
    codes = [model.sample_style(seed) for seed in range(4)]
    results = [tensor_to_image(model.render(code_LD[None], one[None])[0]) for one in codes]
    make_grid(results, 4).save(output)


if __name__ == "__main__":
    main(*sys.argv[1:])
