"""Matte of a head in an FFHQ crop, hair included: its share in the colour of each pixel.

Legend of shape suffixes: C channel, H height, W width.

Head and background differ in colour, but not in the same colours in every image, nor everywhere in
one. As crops are aligned, the place gives a first guess. Histograms of the colours that the guess
counts as head and as background, of the whole image and then of ever smaller cells, correct it; the
guided filter carries it to the image's edges. The face itself is head by its place: the colours
that matter are those around it, as hair has to be told from background.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dualstylegan.faces.filters import Map, blurred, guided_filter, ramp

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
    centres = (np.arange(size) + 0.5) / size
    distance: Map = np.hypot(
        (centres[None, :] - x) / half_width, (centres[:, None] - y) / half_height
    )
    return distance


def usual_head(size: int = MATTE_PX) -> Map:
    """Return the chance (size, size) of head, hair or shoulders by the place in a crop."""
    height = ((np.arange(size) + 0.5) / size)[:, None]
    beside = ABOVE + (BELOW - ABOVE) * ramp(height, *LONG_HAIR)
    odds = np.maximum(SLOPE * (1 - inside_ellipse(HEAD, size)), beside)
    odds = np.maximum(odds, SLOPE * (1 - inside_ellipse(SHOULDERS, size)))
    return _chance(np.clip(odds, -BOUND, BOUND))


def head_mattes(images: Sequence[Image.Image]) -> list[Map]:
    """Compute the mattes (H, W) of a head that images show alike, each at its image's size.

    Each image is judged by itself, then again by what all of them say: hair that has the colour of
    the background in one often differs from it in another.

    Args:
        images: RGB, square, FFHQ crops of a photo and of portraits after it.

    Returns:
        A matte for each image, 0 to 1.
    """
    guides = [
        np.asarray(image.resize((MATTE_PX, MATTE_PX), Image.Resampling.BOX), np.float64) / 255
        for image in images
    ]
    usual_HW = usual_head()
    alone = [_matte(guide_HWC, usual_HW, CELLS) for guide_HWC in guides]
    agreed_HW = np.mean([_log_odds(blurred(matte_HW, LOOSENESS)) for matte_HW in alone], 0)
    guess_HW = _chance(_log_odds(usual_HW) + AGREEMENT * agreed_HW)
    mattes = []
    for image, guide_HWC in zip(images, guides, strict=True):
        matte_HW = _matte(guide_HWC, guess_HW, CELLS_AGAIN)
        fine_HWC = np.asarray(image, np.float64) / 255
        fine_HW = guided_filter(guide_HWC, matte_HW, *FINE_FILTER, fine_HWC)
        mattes.append(np.clip((fine_HW - NOISE) / (1 - 2 * NOISE), 0, 1))
    return mattes


def _matte(guide_HWC: Map, guess_HW: Map, rounds: Sequence[int]) -> Map:
    """Correct a guess (H, W) of a matte by the colours of an image, in cells of each round."""
    prior_HW = _log_odds(guess_HW)
    face_HW = inside_ellipse(FACE, MATTE_PX) < 1
    bins_HWC = _bins(guide_HWC)
    matte_HW = guess_HW
    for cells in rounds:
        odds_HW = _color_odds(bins_HWC, matte_HW, np.where(face_HW, FACE_WEIGHT, 1), cells)
        odds_HW = guided_filter(guide_HWC, odds_HW, *ODDS_FILTER)
        matte_HW = np.where(face_HW, 1, _chance(COLOR_WEIGHT * odds_HW + prior_HW))
        matte_HW = guided_filter(guide_HWC, matte_HW, *MATTE_FILTER).clip(0, 1)
    return matte_HW


def _bins(image_HWC: Map) -> Bins:
    """Return each pixel's bins of luma and of two differences of colours."""
    red, green, blue = np.moveaxis(image_HWC, 2, 0)
    luma = (red + 2 * green + blue) / 4
    low, high = CHROMA_RANGE
    chroma = [(0.5 + (red - blue) / 2 - low), (0.5 + (2 * green - red - blue) / 4 - low)]
    shares = np.stack((luma, *(c / (high - low) for c in chroma)), 2)
    bins: Bins = np.round(shares.clip(0, 1) * (BINS - 1)).astype(int)
    return bins


def _color_odds(bins_HWC: Bins, matte_HW: Map, weight_HW: Map, cells: int) -> Map:
    """Compute the log odds (H, W) of head by the pixels' colours.

    Args:
        bins_HWC: of the pixels' colours.
        matte_HW: matte so far.
        weight_HW: weight with which a pixel's colour counts as one of the head.
        cells: number of cells a side, each with colours of its own.
    """
    size = len(matte_HW)
    cell = np.arange(size) * cells // size
    shape = (cells, cells, BINS, BINS, BINS)
    index = np.ravel_multi_index(
        (cell[:, None], cell[None, :], *np.moveaxis(bins_HWC, 2, 0)), shape
    ).ravel()

    def histogram(counted_HW: Map) -> Map:
        count = np.bincount(index, counted_HW.ravel(), math.prod(shape))
        share: Map = count.astype(np.float64).reshape(shape)
        for axis in range(share.ndim):
            share = _spread(share, axis)
        share = share + COMMON * share.mean((0, 1))
        share /= np.maximum(share.sum((2, 3, 4), keepdims=True), 1e-9)
        return share

    # doubtful pixels teach little
    head, background = histogram(weight_HW * matte_HW**2), histogram((1 - matte_HW) ** 2)
    odds: Map = np.log((head + RARE) / (background + RARE))
    return odds.ravel()[index].reshape(size, size)


def _spread(count: Map, axis: int) -> Map:
    """Share a quarter of each bin with either neighbour."""
    at = np.arange(count.shape[axis])
    before, after = np.maximum(at - 1, 0), np.minimum(at + 1, at[-1])
    spread: Map = (count.take(before, axis) + 2 * count + count.take(after, axis)) / 4
    return spread


def _chance(log_odds: Map) -> Map:
    chance: Map = 1 / (1 + np.exp(-log_odds))
    return chance


def _log_odds(chance: Map) -> Map:
    clipped = chance.clip(0.01, 0.99)
    odds: Map = np.log(clipped / (1 - clipped))
    return odds
