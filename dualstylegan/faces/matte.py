"""Matte of a head in an FFHQ crop, hair included: its share in the colour of each pixel.

Legend of shape suffixes: N image, C channel, H height, W width.

Head and background differ in colour, but not in the same colours in every image, nor everywhere in
one. As crops are aligned, the place gives a first guess. Histograms of the colours that the guess
counts as head and as background, of the whole image and then of ever smaller cells, correct it; the
guided filter carries it to the image's edges. The face itself is head by its place: the colours
that matter are those around it, as hair has to be told from background.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dualstylegan.faces.filters import GuidedFilter, Map, blurred, image_planes, ramp

Bins = NDArray[np.int_]

MATTE_PX = 96
# Ellipses (centre x and y, half width and half height) in shares of the crop's side: what is face
# in all crops, what is head in most, and shoulders.
FACE = (0.5, 0.58, 0.23, 0.32)
HEAD = (0.5, 0.46, 0.4, 0.42)
SHOULDERS = (0.5, 1.1, 0.5, 0.26)
# Log odds of the place: their slope across an ellipse's edge, bounds, and the background's above
# and below the height at which long hair begins.
SLOPE, BOUND = 9.0, 4.0
ABOVE, BELOW = -2.0, -0.6
LONG_HAIR = (0.35, 0.75)
# Cells a side in which colours are told apart, one number a round, alone and again; weight of the
# whole image's colours in a cell's.
CELLS, CELLS_AGAIN = (1, 1, 1, 2, 3), (1, 2, 3)
COMMON = 0.3
BINS = 16
CHROMA_RANGE = (0.2, 0.8)
# Weight of what the images say together, and the blur in pixels that lets their heads differ.
AGREEMENT, LOOSENESS = 0.7, 4.0
# Share of pixels below which a colour says nothing.
RARE = 3e-4
COLOR_WEIGHT = 2.0
# Weight of the face's own colours among the head's.
FACE_WEIGHT = 0.1
# Radius in pixels and smoothness of the guided filters, see there.
ODDS_FILTER, MATTE_FILTER, FINE_FILTER = (5, 1e-3), (2, 1e-4), (2, 4e-4)
# Share at the ends of the matte that is noise of the filter.
NOISE = 0.05


def inside_ellipse(ellipse: tuple[float, float, float, float], size: int) -> Map:
    """Return distances (size, size) from an ellipse's centre: 1 on its edge, below 1 inside."""
    x, y, half_width, half_height = ellipse
    centres = ((np.arange(size) + 0.5) / size).astype(np.float32)
    distance: Map = np.hypot(
        (centres[None, :] - x) / half_width, (centres[:, None] - y) / half_height
    )
    return distance


@lru_cache(maxsize=4)
def usual_head(size: int = MATTE_PX) -> Map:
    """Return the chance (size, size) of head, hair or shoulders by the place in a crop."""
    height = ((np.arange(size, dtype=np.float32) + 0.5) / size)[:, None]
    beside = ABOVE + (BELOW - ABOVE) * ramp(height, *LONG_HAIR)
    odds = np.maximum(SLOPE * (1 - inside_ellipse(HEAD, size)), beside)
    odds = np.maximum(odds, SLOPE * (1 - inside_ellipse(SHOULDERS, size)))
    return _chance(np.clip(odds, -BOUND, BOUND))


class _Head:
    """Image of a head, with its bins of colours and its filters, which all rounds share.

    Args:
        image: RGB, square, an FFHQ crop.

    Attributes:
        alone_HW: matte (MATTE_PX, MATTE_PX) by this image alone.
    """

    def __init__(self, image: Image.Image) -> None:
        self._image = image
        small = image.resize((MATTE_PX, MATTE_PX), Image.Resampling.BOX)
        guide_CHW = image_planes(small) / 255
        self._bins_CHW = _bins(guide_CHW)
        self._odds_filter = GuidedFilter(guide_CHW, *ODDS_FILTER)
        self._matte_filter = GuidedFilter(guide_CHW, *MATTE_FILTER)
        self._fine_filter = GuidedFilter(guide_CHW, *FINE_FILTER)
        self.alone_HW = self._coarse(usual_head(), CELLS)

    def coarse(self, guess_HW: Map) -> Map:
        """Compute the matte (MATTE_PX, MATTE_PX) from a guess."""
        return self._coarse(guess_HW, CELLS_AGAIN)

    def fine(self, coarse_HW: Map) -> Map:
        """Carry a matte (MATTE_PX, MATTE_PX) to the image's edges, at the image's size (H, W)."""
        fine_HW = self._fine_filter(coarse_HW, image_planes(self._image) / 255)
        matte_HW: Map = np.clip((fine_HW - NOISE) / (1 - 2 * NOISE), 0, 1)
        return matte_HW

    def _coarse(self, guess_HW: Map, rounds: Sequence[int]) -> Map:
        """Correct a guess (H, W) of a matte by the image's colours, in cells of each round."""
        prior_HW = _log_odds(guess_HW)
        face_HW = inside_ellipse(FACE, MATTE_PX) < 1
        weight_HW = np.where(face_HW, np.float32(FACE_WEIGHT), np.float32(1))
        matte_HW = guess_HW
        for cells in rounds:
            odds_HW = self._odds_filter(_color_odds(self._bins_CHW, matte_HW, weight_HW, cells))
            matte_HW = np.where(face_HW, 1, _chance(COLOR_WEIGHT * odds_HW + prior_HW))
            matte_HW = self._matte_filter(matte_HW).clip(0, 1)
        return matte_HW


def head_mattes(
    images: Sequence[Image.Image], steady: Callable[[Map], Map] | None = None
) -> list[Map]:
    """Compute the mattes (H, W) of a head that images show alike, each at its image's size.

    Each image is judged by itself, then again by what all of them say: hair that has the colour of
    the background in one often differs from it in another.

    Args:
        images: RGB, square, FFHQ crops of a photo and of portraits after it.
        steady: makes the mattes (images, MATTE_PX, MATTE_PX) of a frame of a video steady, before
            they are carried to the images' edges.

    Returns:
        A matte for each image, 0 to 1.
    """
    heads = [_Head(image) for image in images]
    agreed_HW = np.mean([_log_odds(blurred(head.alone_HW, LOOSENESS)) for head in heads], 0)
    guess_HW = _chance(_log_odds(usual_head()) + AGREEMENT * agreed_HW)
    coarse_NHW = np.stack([head.coarse(guess_HW) for head in heads])
    if steady is not None:
        coarse_NHW = steady(coarse_NHW)
    return [head.fine(coarse_HW) for head, coarse_HW in zip(heads, coarse_NHW, strict=True)]


def _bins(image_CHW: Map) -> Bins:
    """Return each pixel's bins (3, H, W) of luma and of two differences of colours."""
    red, green, blue = image_CHW
    luma = (red + 2 * green + blue) / 4
    low, high = CHROMA_RANGE
    chroma = [(0.5 + (red - blue) / 2 - low), (0.5 + (2 * green - red - blue) / 4 - low)]
    shares = np.stack((luma, *(c / (high - low) for c in chroma)))
    bins: Bins = np.round(shares.clip(0, 1) * (BINS - 1)).astype(int)
    return bins


def _color_odds(bins_CHW: Bins, matte_HW: Map, weight_HW: Map, cells: int) -> Map:
    """Compute the log odds (H, W) of head by the pixels' colours.

    Args:
        bins_CHW: of the pixels' colours.
        matte_HW: matte so far.
        weight_HW: weight with which a pixel's colour counts as one of the head.
        cells: number of cells a side, each with colours of its own.
    """
    size = len(matte_HW)
    cell = np.arange(size) * cells // size
    shape = (cells, cells, BINS, BINS, BINS)
    index = np.ravel_multi_index((cell[:, None], cell[None, :], *bins_CHW), shape).ravel()

    def shares(counted_HW: Map) -> Map:
        """Return the share of each pixel's colour in its cell."""
        count = np.bincount(index, counted_HW.ravel(), math.prod(shape))
        histogram: Map = count.astype(np.float32).reshape(shape)
        for axis in range(histogram.ndim):
            histogram = _spread(histogram, axis)
        histogram = histogram + COMMON * histogram.mean((0, 1))
        total = np.maximum(histogram.sum((2, 3, 4), keepdims=True), 1e-9)
        share: Map = (histogram / total).ravel()[index].reshape(size, size)
        return share

    # doubtful pixels teach little
    head, background = shares(weight_HW * matte_HW**2), shares((1 - matte_HW) ** 2)
    odds: Map = np.log((head + RARE) / (background + RARE))
    return odds


def _spread(count: Map, axis: int) -> Map:
    """Share a quarter of each bin with either neighbour; at an end, with itself."""
    spread = np.moveaxis(2 * count, axis, 0)
    moved = np.moveaxis(count, axis, 0)
    spread[1:] += moved[:-1]
    spread[:-1] += moved[1:]
    spread[0] += moved[0]
    spread[-1] += moved[-1]
    return np.moveaxis(spread, 0, axis) / 4


def _chance(log_odds: Map) -> Map:
    chance: Map = 1 / (1 + np.exp(-log_odds))
    return chance


def _log_odds(chance: Map) -> Map:
    clipped = chance.clip(0.01, 0.99)
    odds: Map = np.log(clipped / (1 - clipped))
    return odds
