"""Image that stands for an FFHQ crop: hair, a face and shoulders before an even background."""

from __future__ import annotations

import torch
from torch import Tensor

from dualstylegan.pretraining.photograph.fields import coordinates

CPU = torch.device("cpu")


def portrait_like(size: int = 128, seed: int = 0) -> Tensor:
    """Return an image (3, size, size) in [0, 1] with fine texture everywhere."""
    u, v = coordinates((size, size), CPU)

    def ellipse(middle: float, half_width: float, half_height: float) -> Tensor:
        return ((u - 0.5) / half_width).square() + ((v - middle) / half_height).square() < 1

    image = torch.tensor((0.45, 0.55, 0.7))[:, None, None].expand(3, size, size).clone()
    image[:, ellipse(1.2, 0.45, 0.35)] = torch.tensor((0.2, 0.22, 0.25))[:, None]
    image[:, ellipse(0.45, 0.32, 0.4)] = torch.tensor((0.25, 0.16, 0.1))[:, None]
    image[:, ellipse(0.57, 0.24, 0.33)] = torch.tensor((0.8, 0.6, 0.5))[:, None]
    rng = torch.Generator().manual_seed(seed)
    return (image + 0.03 * torch.randn(image.shape, generator=rng)).clamp(0, 1)
