"""The largest pictures that a model makes: do they agree with the small ones, and are they sharp?

Legend of shape suffixes: N pair of a face and a style, L row, D style width, H, W.

Training works at a small size. What lies beyond it is never seen by a loss, so that it could drift
in colour or come out smooth: both are measured on pictures of full size.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dualstylegan.codes.inversion import at_size
from dualstylegan.evaluation.bootstrap import Interval, mean_interval
from dualstylegan.evaluation.gallery import Gallery
from dualstylegan.evaluation.probe import Probe, from_bytes, to_bytes
from dualstylegan.portrait.model import PortraitModel


def detail(image_NCHW: Tensor, size: int) -> Tensor:
    """Root mean square of what a picture loses when it is reduced to `size` pixels. Shape (N,)."""
    small = at_size(image_NCHW, size)
    back = F.interpolate(small, image_NCHW.shape[2:], mode="bicubic", align_corners=False)
    return (image_NCHW - back).square().mean((1, 2, 3)).sqrt()


def render_pairs(
    model: PortraitModel, gallery: Gallery, pairs: int, size: int, styled: bool = True
) -> Tensor:
    """Face i in style i, or untouched, as uint8 (N, 3, size, size); both start over at the end."""
    made = []
    for number in range(pairs):
        face = gallery.code_CLD[number % len(gallery.contents)][None]
        style = gallery.extrinsic_SLD[number % len(gallery.styles)][None] if styled else None
        made.append(to_bytes(model.render(face, style, truncation=gallery.truncation, size=size)))
    return torch.cat(made)


def measure_large(
    model: PortraitModel,
    gallery: Gallery,
    probe: Probe,
    pairs: int,
    size: int,
    *,
    seed: int,
    resamples: int,
) -> dict[str, Interval]:
    """Figures of the largest pictures; none where the model has no larger ones than `size`.

    `large_lpips`: LPIPS of the large picture, reduced, to the one that was rendered at `size`.
    `large_detail`: what only the large picture holds, as a share of what g's own large picture of
    the same face holds: below 1 is smoother than a photo.

    Args:
        pairs: pictures that are looked at; 0 leaves the figures out.
        size: pixels of the small pictures.
    """
    largest = max(model.generator.output_sizes)
    if not pairs or largest <= size:
        return {}
    large, small = (render_pairs(model, gallery, pairs, px) for px in (largest, size))
    own = render_pairs(model, gallery, pairs, largest, styled=False)
    reduced = torch.cat([to_bytes(at_size(from_bytes(x[None]), size)) for x in large])
    share = [
        float(detail(from_bytes(a[None]), size) / detail(from_bytes(b[None]), size))
        for a, b in zip(large, own, strict=True)
    ]

    def mean(values: object) -> Interval:
        return mean_interval(np.asarray(values, np.float64), seed=seed, resamples=resamples)

    return {
        "large_lpips": mean(probe.distances(reduced, small)),
        "large_detail": mean(share),
    }
