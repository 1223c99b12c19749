"""Pasting of a restyled FFHQ crop back into its photo.

Legend of shape suffixes: Q corner of a quad, 2 x and y in pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from dualstylegan.errors import ImageError
from dualstylegan.faces.geometry import quad_side

# Fraction of the crop's side over which the result fades into the photo.
FEATHER_SHARE = 0.06


def paste_back(
    photo: Image.Image, result: Image.Image, quad_Q2: NDArray[np.float64]
) -> Image.Image:
    """Paste a restyled crop into its photo, with a feathered border; return a new image.

    Args:
        photo: RGB; not changed.
        result: square image of any size.
        quad_Q2: corners of the crop in the photo: top left, bottom left, bottom right, top right.

    Raises:
        ImageError: the quad lies outside of the photo.
    """
    low = np.maximum(np.floor(quad_Q2.min(0)).astype(int), 0)
    high = np.minimum(np.ceil(quad_Q2.max(0)).astype(int), photo.size)
    if (high <= low).any():
        raise ImageError(
            "the crop lies outside of the photo", value=quad_Q2.tolist(), limit=photo.size
        )
    side = max(1, round(quad_side(quad_Q2)))
    if result.width > side:  # the bilinear resampling below would alias
        result = result.resize((side, side), Image.Resampling.LANCZOS)
    mask = _feathered(result.width)
    size = (int(high[0] - low[0]), int(high[1] - low[1]))
    affine = _affine(quad_Q2 - low, result.width)
    placed, faded = (
        layer.transform(size, Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR)
        for layer in (result.convert("RGB"), mask)
    )
    output = photo.convert("RGB")
    output.paste(placed, (int(low[0]), int(low[1])), faded)
    return output


def _feathered(side: int) -> Image.Image:
    """Return a mask that is 255 inside and falls to 0 at the border."""
    feather = max(1.0, side * FEATHER_SHARE)
    mask = Image.new("L", (side, side), 0)
    draw = ImageDraw.Draw(mask)
    draw.rounded_rectangle([feather, feather, side - 1 - feather, side - 1 - feather], feather, 255)
    return mask.filter(ImageFilter.GaussianBlur(feather / 3))


def _affine(quad_Q2: NDArray[np.float64], side: int) -> tuple[float, ...]:
    """Return PIL's affine coefficients from pixels of the target to a square of `side` pixels."""
    origin = quad_Q2[0]
    basis = np.stack((quad_Q2[3] - origin, quad_Q2[1] - origin), 1)
    inverse = np.linalg.inv(basis) * side
    offset = -inverse @ origin
    return (*inverse[0].tolist(), float(offset[0]), *inverse[1].tolist(), float(offset[1]))
