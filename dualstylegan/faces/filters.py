"""Filters of maps: box means, blurs, and the guided filter, which follows the edges of an image.

Legend of shape suffixes: C channel, H height, W width.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Map = NDArray[np.float64]

# A box applied three times is close to a Gaussian (Wells, 1986).
PASSES = 3


def box_mean(x: Map, radius: int) -> Map:
    """Compute means over squares of 2 radius + 1 positions, cut off at the border.

    Args:
        x: (H, W, ...).
        radius: in positions; 0 returns x.
    """
    for axis in (0, 1):
        count = x.shape[axis]
        sums = np.concatenate((np.zeros_like(x.take([0], axis)), np.cumsum(x, axis)), axis)
        at = np.arange(count)
        first, last = np.maximum(at - radius, 0), np.minimum(at + radius + 1, count)
        lengths = (last - first).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
        x = (sums.take(last, axis) - sums.take(first, axis)) / lengths
    return x


def blurred(x: Map, radius: float) -> Map:
    """Blur a map (H, W, ...) by a filter close to a Gaussian of standard deviation `radius`."""
    for _ in range(PASSES):
        x = box_mean(x, max(1, round(radius)))
    return x


def ramp(x: Map, start: float | Map, end: float | Map) -> Map:
    """Rise smoothly from 0 at `start` to 1 at `end`; falls if `end` is the smaller."""
    share: Map = np.clip((x - start) / (np.asarray(end) - start), 0, 1)
    risen: Map = share * share * (3 - 2 * share)
    return risen


def resized(x_HW: Map, size: int) -> Map:
    """Resample a map to (size, size), bilinear, with anti-aliasing."""
    image = Image.fromarray(x_HW.astype(np.float32))
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR), np.float64)


def guided_filter(
    guide_HWC: Map, x_HW: Map, radius: int, smoothness: float, fine_HWC: Map | None = None
) -> Map:
    """Smooth a map inside of what an image shows alike (He et al., 2013).

    In every square the result is an affine function of the image's colours, so that its edges are
    the image's.

    Args:
        guide_HWC: RGB in [0, 1].
        x_HW: map.
        radius: of the squares.
        smoothness: variance of colours that counts as even.
        fine_HWC: the image, square, in another size, in which the result is wanted (He and Sun,
            2015); None: that of the map.
    """
    mean_HWC, mean_HW = box_mean(guide_HWC, radius), box_mean(x_HW, radius)
    with_map_HWC = box_mean(guide_HWC * x_HW[..., None], radius) - mean_HWC * mean_HW[..., None]
    products_HWCC = box_mean(guide_HWC[..., :, None] * guide_HWC[..., None, :], radius)
    spread_HWCC: Map = products_HWCC - mean_HWC[..., :, None] * mean_HWC[..., None, :]
    spread_HWCC += smoothness * np.eye(guide_HWC.shape[-1])
    slopes_HWC1 = np.linalg.solve(spread_HWCC, with_map_HWC[..., None])
    slope_HWC = np.asarray(slopes_HWC1[..., 0], np.float64)
    offset_HW = mean_HW - (slope_HWC * mean_HWC).sum(-1)
    slope_HWC, offset_HW = box_mean(slope_HWC, radius), box_mean(offset_HW, radius)
    if fine_HWC is None:
        fine_HWC = guide_HWC
    else:
        size = len(fine_HWC)
        slope_HWC = np.stack([resized(part, size) for part in np.moveaxis(slope_HWC, 2, 0)], 2)
        offset_HW = resized(offset_HW, size)
    filtered: Map = (slope_HWC * fine_HWC).sum(-1) + offset_HW
    return filtered
