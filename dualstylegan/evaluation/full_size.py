"""Measures at the model's full image size: agreement with small renderings, and sharpness.

Legend of shape suffixes: N pair of a face and a style, L row, D style width, H, W.

Training works at a smaller size, so no loss sees what the finest layers add. They could shift the
colours or render without detail; both are measured on images of full size.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dualstylegan.codes.inversion import resize_images
from dualstylegan.evaluation.bootstrap import Interval, mean_interval
from dualstylegan.evaluation.eval_set import EvalSet
from dualstylegan.evaluation.extractor import FeatureExtractor
from dualstylegan.io.images import dequantize, quantize
from dualstylegan.portrait.model import PortraitModel


def fine_detail(image_NCHW: Tensor, size: int) -> Tensor:
    """Compute the RMS difference (N,) of images to themselves reduced to `size` pixels."""
    small = resize_images(image_NCHW, size)
    back = F.interpolate(small, image_NCHW.shape[2:], mode="bicubic", align_corners=False)
    return (image_NCHW - back).square().mean((1, 2, 3)).sqrt()


def render_pairs(
    model: PortraitModel, eval_set: EvalSet, pairs: int, size: int, styled: bool = True
) -> Tensor:
    """Render face i in style i as uint8 (N, 3, size, size).

    Args:
        model: packaged model.
        eval_set: faces and exemplars; where there are fewer than `pairs`, they repeat.
        pairs: number of images N.
        size: in pixels.
        styled: False renders the faces with g, without a style.
    """
    images = []
    for index in range(pairs):
        face = eval_set.code_CLD[index % len(eval_set.contents)][None]
        style = eval_set.extrinsic_SLD[index % len(eval_set.styles)][None] if styled else None
        rendered = model.render(face, style, truncation=eval_set.truncation, size=size)
        images.append(quantize(rendered).cpu())
    return torch.cat(images)


def measure_full_size(
    model: PortraitModel,
    eval_set: EvalSet,
    extractor: FeatureExtractor,
    pairs: int,
    size: int,
    *,
    seed: int,
    resamples: int,
) -> dict[str, Interval]:
    """Measure images of full size; return no figures if the model renders none above `size`.

    `large_lpips`: LPIPS of the full-size image, reduced, to the one rendered at `size`.
    `large_detail`: detail finer than `size` pixels, as a share of that in g's own full-size image
    of the same face; below 1 is smoother than a photo.

    Args:
        model: packaged model.
        eval_set: faces and exemplars.
        extractor: the measuring networks.
        pairs: number of images; 0 returns no figures.
        size: of the small images, in pixels.
        seed, resamples: of the bootstrap.
    """
    largest = max(model.generator.output_sizes)
    if not pairs or largest <= size:
        return {}
    large, small = (render_pairs(model, eval_set, pairs, px) for px in (largest, size))
    unstyled = render_pairs(model, eval_set, pairs, largest, styled=False)
    reduced = torch.cat([quantize(resize_images(dequantize(x[None]), size)).cpu() for x in large])
    shares = [
        float(fine_detail(dequantize(a[None]), size) / fine_detail(dequantize(b[None]), size))
        for a, b in zip(large, unstyled, strict=True)
    ]

    def mean(values: object) -> Interval:
        return mean_interval(np.asarray(values, np.float64), seed=seed, resamples=resamples)

    return {
        "large_lpips": mean(extractor.lpips(reduced, small)),
        "large_detail": mean(shares),
    }
