"""Random codes of faces for training, single ones up to the variety of fitted photographs.

Legend of shape suffixes: N image, L row, D style width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dualstylegan.networks.generator import Generator


@torch.no_grad()
def draw_codes(
    generator: Generator, count: int, rng: torch.Generator, *, variety: float, psi: float | Tensor
) -> Tensor:
    """Draw W+ codes (N, L, D) of random faces.

    z_l = sqrt(1 - v) z + sqrt(v) z'_l, with v uniform below `variety`: one code for all rows,
    v = 0, up to rows that have little in common, as those of a fitted photograph.

    Args:
        generator: whose Z is mapped and truncated.
        count: number of codes N.
        rng: of all randomness, on the CPU.
        variety: largest share of variance that a row has of its own, 0 to 1.
        psi: truncation, one for all or (N, 1, 1).
    """
    common = torch.randn(count, 1, generator.style_dim, generator=rng)
    rows = torch.randn(count, generator.rows, generator.style_dim, generator=rng)
    own = variety * (1 - torch.rand(count, 1, 1, generator=rng))
    z_NLD = (1 - own).sqrt() * common + own.sqrt() * rows
    mean = generator.mean_w
    return mean + psi * (generator.map(z_NLD.to(mean.device)) - mean)
