"""Photos of drawn heads whose outlines are known, and the box that a paste may show.

Legend of shape suffixes: Q corner of a quad, 2 x and y in pixels, H height, W width, C channel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float64]
Pixels = NDArray[np.bool_]

# Band along the inside of a crop's edges, in its sides: a pasted box shows there.
BOX_BAND = (0.05, 0.1)


def square(left: float, top: float, side: float) -> Array:
    """Return the corners (4, 2) of an upright quad."""
    return np.array(
        [(left, top), (left, top + side), (left + side, top + side), (left + side, top)], float
    )


def shares(quad_Q2: Array, size: tuple[int, int]) -> tuple[Array, Array]:
    """Return x and y of an image's pixels (H, W) in a quad, as shares of its side."""
    width, height = size
    y, x = np.mgrid[:height, :width] + 0.5
    axes_22 = np.stack((quad_Q2[3] - quad_Q2[0], quad_Q2[1] - quad_Q2[0]))
    u, v = np.moveaxis((np.stack((x, y), 2) - quad_Q2[0]) @ np.linalg.inv(axes_22), 2, 0)
    return u, v


def head_mask(quad_Q2: Array, size: tuple[int, int], grown: float = 1.0) -> Pixels:
    """Return the pixels (H, W) of the head that `draw_head` draws, grown by a factor."""
    u, v = shares(quad_Q2, size)
    inside: Pixels = np.hypot((u - 0.5) / 0.33, (v - 0.45) / 0.38) < grown
    return inside | ((np.abs(u - 0.5) < 0.13 * grown) & (v > 0.7) & (v < 1.2))


def draw_head(
    image_HWC: Array, quad_Q2: Array, hair: tuple[int, ...], skin: tuple[int, ...], scale: float = 1
) -> None:
    """Draw a head with hair and neck into an image, as an FFHQ crop shows it."""
    size = image_HWC.shape[1], image_HWC.shape[0]
    u, v = shares(quad_Q2, size)
    image_HWC[head_mask(quad_Q2, size, scale)] = hair
    image_HWC[np.hypot((u - 0.5) / 0.22, (v - 0.58) / 0.3) < scale] = skin
    image_HWC[(np.abs(u - 0.5) < 0.12) & (v > 0.8) & (v < 1.2)] = skin


def backdrop(width: int, height: int, seed: int = 0) -> Array:
    """Return a background (H, W, 3) whose brightness and hue change, with a little noise."""
    y, x = np.mgrid[:height, :width]
    shade = 120 + 60 * x / width + 40 * y / height
    noise = np.random.default_rng(seed).normal(0, 2, (height, width, 1))
    return np.stack((shade, shade + 20, shade + 30 - 60 * x / width), 2) + noise


def picture(image_HWC: Array) -> Image.Image:
    """Return levels of 255 as an RGB image."""
    return Image.fromarray(np.round(image_HWC).clip(0, 255).astype(np.uint8))


def restyled_head(size: int = 128, scale: float = 1.08) -> Image.Image:
    """Return a result: a larger head in other colours before another background."""
    image_HWC = np.full((size, size, 3), (90.0, 30.0, 120.0))
    draw_head(image_HWC, square(0, 0, size), (20, 40, 110), (240, 170, 60), scale)
    return picture(image_HWC)


def box_step(photo: Image.Image, output: Image.Image, quad_Q2: Array) -> float:
    """Compute how much a paste changes a photo along the inside of the crop's upper three edges.

    Beyond the edge nothing has changed: this is the height of the step that shows a box.

    Returns:
        Median of the absolute difference in levels of 255: heads may cross the edge, a box has all
        of it.
    """
    u, v = shares(quad_Q2, photo.size)
    depth = np.minimum(np.minimum(u, 1 - u), v)
    band = (depth > BOX_BAND[0]) & (depth < BOX_BAND[1]) & (v < 0.7)
    change = np.abs(np.asarray(output, float) - np.asarray(photo, float)).mean(2)
    return float(np.median(change[band]))
