"""Pictures and codes as numpy arrays, for networks outside of torch: the same values to the bit.

Legend of shape suffixes: C channel, H height, W width.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]
HALF_LEVELS = 127.5


def image_to_array(image: Image.Image, size: int | None = None) -> Floats:
    """Return a PIL image as an array (3, H, W) in [-1, 1], resized to `size` squared if given."""
    if size is not None and image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.LANCZOS)
    levels_CHW = np.moveaxis(np.asarray(image.convert("RGB")), 2, 0).astype(np.float32)
    picture: Floats = np.ascontiguousarray(levels_CHW) / np.float32(HALF_LEVELS) - np.float32(1)
    return picture


def array_to_image(x_CHW: Floats) -> Image.Image:
    """Return an array (3, H, W) as a PIL image; values outside [-1, 1] are clamped."""
    levels_CHW = ((np.clip(x_CHW, -1, 1) + 1) * np.float32(HALF_LEVELS)).round().astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(np.moveaxis(levels_CHW, 0, 2)))


def resize_array(x_CHW: Floats, size: int) -> Floats:
    """Resize an array (3, H, W) to `size` squared, bilinearly and anti-aliased, as torch does."""
    if x_CHW.shape[1:] == (size, size):
        return x_CHW
    planes = (Image.fromarray(np.ascontiguousarray(plane)) for plane in x_CHW)
    resized = [plane.resize((size, size), Image.Resampling.BILINEAR) for plane in planes]
    return np.stack([np.asarray(plane) for plane in resized])


def as_array(tensor: Any) -> Floats:
    """Return a tensor on any device, or an array, as a float32 array."""
    on_host = tensor.detach().cpu() if hasattr(tensor, "detach") else tensor
    return np.asarray(on_host, np.float32)
