"""Texture of images by their power spectra: fine detail against an exemplar's, and mesh.

Legend of shape suffixes: N image, H, W pixel, T tile, F vertical and G horizontal frequency,
P lattice point, B band.

Natural and painted images have continuous spectra. A generator that upsamples by interleaving
pixels, as an inverse wavelet transform does, may add the same small pattern to every block of 2, 4
or 8 pixels: a mesh. Its power lies in lines at multiples of 1/8 cycle per pixel and is told from
detail by that: a mesh counts as a fault and never as detail.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dualstylegan.io.images import luma
from dualstylegan.networks.masks import Mask, mask_of

TILE_PX = 64
# Periods of a mesh in pixels: one per doubling, from the output's own to 1/8 of its resolution.
PERIODS = (2, 4, 8)
# Bins around a line: those that the window spreads it to, and the distance of its reference.
LINE_RADIUS, REFERENCE_RADIUS = 1, 3
# Power of rounding to bytes in a bin: below it neither lines nor detail can be told.
FLOOR = 1 / 12 * 2.25 / TILE_PX**2
GREY_LEVELS = 127.5
# Bands of detail: half octaves, up to the fraction of the sampling rate that resampling keeps.
HALF_OCTAVE = 2**0.5
HIGHEST_FREQUENCY = 0.4


def tile_power(image_NCHW: Tensor, mask_N1HW: Mask = None) -> Tensor:
    """Compute power spectra (T, F, G) of the luma of tiles, half overlapping, Hann-windowed.

    Args:
        image_NCHW: images in [-1, 1], no smaller than a tile.
        mask_N1HW: of what lies inside of the images' pictures; other tiles are left out, unless
            there are no more.

    Returns:
        Squared amplitudes in grey levels of 255, per bin of 1/64 cycle per pixel.
    """
    luma_NHW = luma(image_NCHW.float())[:, 0]
    step = TILE_PX // 2
    tile_TFG = _tiles(luma_NHW, step)
    mask = mask_of(mask_N1HW, image_NCHW)
    if mask is not None:
        inside_T = _tiles(mask[:, 0], step).all(2).all(1)
        tile_TFG = tile_TFG[inside_T] if inside_T.any() else tile_TFG
    window = torch.hann_window(TILE_PX, device=image_NCHW.device)
    window_FG = window[:, None] * window
    window_FG = window_FG / window_FG.sum()
    centred_TFG = tile_TFG - (tile_TFG * window_FG).sum((1, 2), keepdim=True)
    power_TFG: Tensor = (torch.fft.fft2(centred_TFG * window_FG).abs() * GREY_LEVELS).square()
    return power_TFG


def _tiles(map_NHW: Tensor, step: int) -> Tensor:
    """Return the tiles (T, F, G) of maps."""
    return map_NHW.unfold(1, TILE_PX, step).unfold(2, TILE_PX, step).flatten(0, 2)


def lattice(period: int) -> Tensor:
    """Return the bins (P, 2) of a mesh of `period` pixels that no shorter period has."""
    step = TILE_PX // period
    points = [
        (row, column)
        for row in range(0, TILE_PX, step)
        for column in range(0, TILE_PX, step)
        if row % (2 * step) or column % (2 * step)
    ]
    return torch.tensor(points)


def mesh(image_NCHW: Tensor, mask_N1HW: Mask = None) -> float:
    """Compute how far a mesh stands out of an image's spectrum, in dB.

    For each period, power at its lattice points over that of their surroundings, as the median over
    tiles: an edge or a regular pattern in a part of the image does not count, only what lies over
    most of it. The result is the mean over periods. Photographs and paintings are within about 1 dB
    of 0; a mesh of one grey level on smooth skin is at 10 dB.

    Args:
        image_NCHW: one image (1, 3, H, W) in [-1, 1], or several of one size, taken together.
        mask_N1HW: see `tile_power`.
    """
    power_TFG = tile_power(image_NCHW, mask_N1HW) + FLOOR
    offsets = [
        (i, j)
        for i in range(-REFERENCE_RADIUS, REFERENCE_RADIUS + 1)
        for j in range(-REFERENCE_RADIUS, REFERENCE_RADIUS + 1)
        if max(abs(i), abs(j)) == REFERENCE_RADIUS
    ]
    found = []
    for period in PERIODS:
        row_P, column_P = lattice(period).T
        around = torch.stack(
            [power_TFG[:, (row_P + i) % TILE_PX, (column_P + j) % TILE_PX] for i, j in offsets]
        )
        ratio_TP = power_TFG[:, row_P, column_P] / around.median(0).values
        found.append(10 * ratio_TP.median(0).values.log10().mean())
    return max(0.0, float(torch.stack(found).mean()))


def detail_bands(
    image_NCHW: Tensor, lowest: float, highest: float, mask_N1HW: Mask = None
) -> Tensor:
    """Compute the power density (B,) in dB of an image per half octave, without lines of a mesh.

    Densities are per square of a cycle per image, so that images of different sizes compare.

    Args:
        image_NCHW: one image (1, 3, H, W) in [-1, 1].
        lowest, highest: range in cycles per image; bands are those that lie inside.
        mask_N1HW: see `tile_power`.
    """
    size = image_NCHW.shape[-1]
    mean_FG = tile_power(image_NCHW, mask_N1HW).mean(0) + FLOOR
    frequency = torch.fft.fftfreq(TILE_PX) * size
    radius_FG = (frequency[:, None].square() + frequency.square()).sqrt()
    continuous_FG = torch.ones_like(radius_FG, dtype=torch.bool)
    for row, column in torch.cat([lattice(period) for period in PERIODS]).tolist():
        for i in range(-LINE_RADIUS, LINE_RADIUS + 1):
            for j in range(-LINE_RADIUS, LINE_RADIUS + 1):
                continuous_FG[(row + i) % TILE_PX, (column + j) % TILE_PX] = False
    bands = []
    while lowest * HALF_OCTAVE <= highest:
        band_FG = continuous_FG & (radius_FG >= lowest) & (radius_FG < lowest * HALF_OCTAVE)
        bands.append(mean_FG[band_FG].mean() * (TILE_PX / size) ** 2)
        lowest *= HALF_OCTAVE
    return 10 * torch.stack(bands).log10()


def texture_distance(
    image_NCHW: Tensor, exemplar_NCHW: Tensor, coarse_px: int, mask_N1HW: Mask = None
) -> float:
    """Compute the distance in dB of an image's fine texture from an exemplar's.

    Mean absolute difference of their densities in the half octaves that an image of `coarse_px`
    pixels cannot show and both images can, plus the mesh by which the image exceeds the exemplar.
    Images too smooth and too rough are distant alike; a mesh adds to the distance and cannot make
    up for missing detail.

    Args:
        image_NCHW: one image (1, 3, H, W) in [-1, 1].
        exemplar_NCHW: the exemplar, showing the same extent at a size of its own.
        coarse_px: size in pixels whose detail does not count.
        mask_N1HW: of what lies inside of the exemplar's picture, in any size.
    """
    lowest = coarse_px / 2
    size = min(image_NCHW.shape[-1], exemplar_NCHW.shape[-1])
    # a first band in any case: an exemplar of hardly more pixels is compared by what it has
    highest = max(HIGHEST_FREQUENCY * size, lowest * HALF_OCTAVE)
    first = detail_bands(image_NCHW, lowest, highest)
    second = detail_bands(exemplar_NCHW, lowest, highest, mask_N1HW)
    excess = max(0.0, mesh(image_NCHW) - mesh(exemplar_NCHW, mask_N1HW))
    return float((first - second).abs().mean()) + excess
