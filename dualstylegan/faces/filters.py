"""Filters of maps: box means, blurs, and the guided filter, which follows the edges of an image.

Legend of shape suffixes: C channel, H height, W width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Float32, unless a filter says why not.
Map = NDArray[np.floating[Any]]

# A box applied three times is close to a Gaussian (Wells, 1986).
PASSES = 3
# Upper half of a symmetric matrix of red, green and blue.
PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))


def image_planes(image: Image.Image) -> Map:
    """Return the levels (3, H, W) of an RGB image, 0 to 255."""
    return np.ascontiguousarray(np.moveaxis(np.asarray(image), 2, 0)).astype(np.float32)


def box_mean(x: Map, radius: int) -> Map:
    """Compute means over squares of 2 radius + 1 positions, cut off at the border.

    Args:
        x: (..., H, W), of any floating-point dtype, which the means keep.
        radius: in positions; 0 returns x.
    """
    for axis in (-2, -1):
        at = np.arange(x.shape[axis])
        lengths = np.minimum(at + radius + 1, at.size) - np.maximum(at - radius, 0)
        shares = (1 / lengths).astype(x.dtype)
        x = _window_sums(x, axis, radius) * (shares[:, None] if axis == -2 else shares)
    return x


def _window_sums(x: Map, axis: int, radius: int) -> Map:
    """Sum windows of 2 radius + 1 positions along an axis, as sums of sums of 1, 2, 4, ... ."""
    count, length = x.shape[axis], 2 * radius + 1
    shape = list(x.shape)
    shape[axis] += 2 * radius
    padded = np.zeros(shape, x.dtype)
    np.moveaxis(padded, axis, 0)[radius : radius + count] = np.moveaxis(x, axis, 0)
    sums = np.moveaxis(padded, axis, 0)
    total = sums[:count]
    start, width = 1, 2
    while width <= length:
        sums = sums[: -width // 2] + sums[width // 2 :]
        if length & width:
            total = total + sums[start : start + count]
            start += width
        width *= 2
    return np.moveaxis(total, 0, axis)


def blurred(x: Map, radius: float) -> Map:
    """Blur maps (..., H, W) by a filter close to a Gaussian of standard deviation `radius`."""
    for _ in range(PASSES):
        x = box_mean(x, max(1, round(radius)))
    return x


def ramp(x: Map, start: float | Map, end: float | Map) -> Map:
    """Rise smoothly from 0 at `start` to 1 at `end`; falls if `end` is the smaller."""
    share: Map = np.clip((x - start) / (end - start), 0, 1)
    risen: Map = share * share * (3 - 2 * share)
    return risen


def resized(x_HW: Map, size: int) -> Map:
    """Resample a map to (size, size), bilinear, with anti-aliasing."""
    image = Image.fromarray(np.ascontiguousarray(x_HW, np.float32))
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))


class GuidedFilter:
    """Smoothing of maps inside of what an image shows alike (He et al., 2013).

    In every square the result is an affine function of the image's colours, so that its edges are
    the image's.

    Args:
        guide_CHW: RGB in [0, 1].
        radius: of the squares.
        smoothness: variance of colours that counts as even.
    """

    def __init__(self, guide_CHW: Map, radius: int, smoothness: float) -> None:
        self._guide_CHW, self._radius = guide_CHW, radius
        # in float64: variances of even colours are differences of nearly equal numbers
        colors_CHW = guide_CHW.astype(np.float64)
        products = [colors_CHW[i] * colors_CHW[j] for i, j in PAIRS]
        mean_CHW = box_mean(colors_CHW, radius)
        means = box_mean(np.stack(products), radius)
        spread = {
            (i, j): mean_HW - mean_CHW[i] * mean_CHW[j] + (smoothness if i == j else 0)
            for (i, j), mean_HW in zip(PAIRS, means, strict=True)
        }
        self._mean_CHW = mean_CHW.astype(np.float32)
        self._inverse_CCHW = _inverse(spread).astype(np.float32)

    def __call__(self, x_HW: Map, fine_CHW: Map | None = None) -> Map:
        """Smooth a map.

        Args:
            x_HW: the map, of the guide's size.
            fine_CHW: the image, square, in another size, in which the result is wanted (He and
                Sun, 2015); None: that of the map.
        """
        means_CHW = box_mean(np.concatenate((self._guide_CHW * x_HW, x_HW[None])), self._radius)
        mean_HW = means_CHW[3]
        with_map_CHW = means_CHW[:3] - self._mean_CHW * mean_HW
        slope_CHW = (self._inverse_CCHW * with_map_CHW).sum(1)
        offset_HW = mean_HW - (slope_CHW * self._mean_CHW).sum(0)
        affine_CHW = box_mean(np.concatenate((slope_CHW, offset_HW[None])), self._radius)
        if fine_CHW is None:
            fine_CHW = self._guide_CHW
        else:
            affine_CHW = np.stack([resized(part, fine_CHW.shape[-1]) for part in affine_CHW])
        filtered: Map = (affine_CHW[:3] * fine_CHW).sum(0) + affine_CHW[3]
        return filtered


def _inverse(spread: Mapping[tuple[int, int], Map]) -> Map:
    """Invert symmetric matrices (3, 3) at every place, whose upper halves are given by element."""
    a, b, c, d, e, f = (spread[pair] for pair in PAIRS)
    cofactors = (d * f - e * e, c * e - b * f, b * e - c * d, a * f - c * c, b * c - a * e)
    last = a * d - b * b
    determinant = a * cofactors[0] + b * cofactors[1] + c * cofactors[2]
    rows = [cofactors[:3], (cofactors[1], *cofactors[3:]), (cofactors[2], cofactors[4], last)]
    return np.stack([np.stack(row) for row in rows]) / determinant
