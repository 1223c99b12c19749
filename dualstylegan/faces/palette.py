"""Palette of a picture: mean and covariance of its colours, and their transport to another's.

Legend of shape suffixes: C channel, 3 red, green, blue, P pixel, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float64]

# Standard deviation in levels of 255 that even colours are taken to have, and the most that
# contrast is stretched: a transport from fog to noon would show compression and noise.
FLOOR = 8.0
MAX_STRETCH = 2.5
BAND_ROWS = 256


@dataclass(frozen=True)
class ColorTransport:
    """Affine map of colours.

    Attributes:
        matrix_33, offset_3: in levels of 255.
    """

    matrix_33: Array
    offset_3: Array

    def apply(self, pixels: Array) -> Array:
        """Map colours (..., 3)."""
        mapped: Array = pixels @ self.matrix_33.T + self.offset_3
        return mapped

    def recolored(self, image: Image.Image) -> Image.Image:
        """Return an RGB image in the other palette, computed in bands of rows."""
        output = image.copy()
        for top in range(0, image.height, BAND_ROWS):
            box = (0, top, image.width, min(top + BAND_ROWS, image.height))
            band = self.apply(np.asarray(image.crop(box), np.float64))
            output.paste(Image.fromarray(np.round(band).clip(0, 255).astype(np.uint8)), box[:2])
        return output


def color_transport(source_P3: Array, target_P3: Array) -> ColorTransport:
    """Compute the optimal transport between two palettes as normal distributions.

    It is the affine map that gives the colours of the source the target's mean and covariance and
    moves them least (Pitie and Kokaram, 2007); the identity for equal palettes.

    Args:
        source_P3, target_P3: colours in levels of 255; their numbers may differ.
    """
    floor_33 = FLOOR**2 * np.eye(3)
    source_33, target_33 = (np.cov(pixels.T) + floor_33 for pixels in (source_P3, target_P3))
    root_33, inverse_33 = _power(source_33, 0.5), _power(source_33, -0.5)
    matrix_33 = inverse_33 @ _power(root_33 @ target_33 @ root_33, 0.5) @ inverse_33
    stretches, axes_33 = np.linalg.eigh(matrix_33)
    matrix_33 = (axes_33 * stretches.clip(0, MAX_STRETCH)) @ axes_33.T
    return ColorTransport(matrix_33, target_P3.mean(0) - matrix_33 @ source_P3.mean(0))


def mean_transport(transports: Sequence[ColorTransport]) -> ColorTransport:
    """Return the mean of several transports."""
    return ColorTransport(
        np.mean([t.matrix_33 for t in transports], 0), np.mean([t.offset_3 for t in transports], 0)
    )


def _power(symmetric_33: Array, exponent: float) -> Array:
    values, axes_33 = np.linalg.eigh(symmetric_33)
    powered: Array = (axes_33 * values.clip(1e-9) ** exponent) @ axes_33.T
    return powered
