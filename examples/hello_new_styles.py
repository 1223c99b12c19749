"""Draw new styles from the sampler: python examples/hello_new_styles.py MODEL PHOTO OUTPUT."""

from __future__ import annotations

import sys

from dualstylegan import PortraitModel
from dualstylegan.io.images import make_grid, read_image


def main(folder: str, photo: str, output: str) -> None:
    """Restyle a photo after four styles that belong to no exemplar."""
    model = PortraitModel.from_pretrained(folder)
    sitter = model.read(read_image(photo))
    results = [model.restyle(sitter, seed=seed) for seed in range(4)]
    make_grid(results, 4).save(output)


if __name__ == "__main__":
    main(*sys.argv[1:])
