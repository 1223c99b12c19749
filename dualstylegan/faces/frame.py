"""Frame of a picture in an aligned crop: the part of the crop that lies inside of the picture.

Legend of shape suffixes: Q corner of a frame, 2 x and y, E edge of a frame, C channel, H height,
W width.

A crop often reaches beyond its picture. What lies outside was never painted: it is filled in so
that detectors and people see a whole portrait, and counts in no loss, statistic or measure. A crop
is an affine image of a rectangle, so that the picture in it is a quadrilateral: four corners say it
exactly, at any size.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float64]
Pixels = NDArray[np.bool_]
Floats = NDArray[np.float32]

# Fraction of the shorter side that is trimmed: the outermost pixels are often a frame, or ringing.
TRIM_SHARE = 0.01
DECIMALS = 6
# Resampling mixes pixels across the picture's edge, by so many pixels of a mask.
MARGIN_PX = 2.0
EPS = 1e-6
SHARE_PX = 128
CROP_Q2 = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0]])


def picture_frame(photo_size: tuple[int, int], quad_Q2: Array) -> Array | None:
    """Compute the corners (4, 2) of a photo in a crop of it, as shares of the crop's side.

    The photo's outermost hundredth, which crops never take, counts as outside.

    Args:
        photo_size: width and height in pixels.
        quad_Q2: corners of the crop in the photo, see `geometry`.

    Returns:
        The corners in the order of a quad's; None if the photo covers the crop.
    """
    trim = round(TRIM_SHARE * min(photo_size))
    right, bottom = (side - trim for side in photo_size)
    corners_Q2 = np.array([[trim, trim], [trim, bottom], [right, bottom], [right, trim]])
    axes_22 = np.stack((quad_Q2[3] - quad_Q2[0], quad_Q2[1] - quad_Q2[0]))
    frame_Q2: Array = np.round((corners_Q2 - quad_Q2[0]) @ np.linalg.inv(axes_22), DECIMALS)
    return None if covers(frame_Q2) else frame_Q2


def covers(frame_Q2: Array) -> bool:
    """Return True if no part of the crop lies outside of the picture."""
    return bool((_depths(frame_Q2, CROP_Q2) >= -EPS).all())


def frame_mask(frame_Q2: Array | None, size: int) -> Pixels:
    """Rasterise a frame: True for the pixels (size, size) of a crop that show the picture alone.

    Pixels within MARGIN_PX of an edge that crosses the crop are left out: resampling has mixed
    them with what lies beyond.

    Args:
        frame_Q2: corners of the picture as shares of the crop's side; None: all of it.
        size: side of the mask in pixels.
    """
    mask = np.ones((size, size), bool)
    if frame_Q2 is None:
        return mask
    centres = (np.arange(size) + 0.5) / size
    points = np.stack(np.meshgrid(centres, centres), -1).reshape(-1, 2)
    crossing_E = (_depths(frame_Q2, CROP_Q2) < -EPS).any(0)
    inside = (_depths(frame_Q2, points)[:, crossing_E] >= MARGIN_PX / size).all(1)
    return inside.reshape(size, size)


def outside_share(frame_Q2: Array | None) -> float:
    """Return the share of a crop that lies outside of its picture, 0 to 1."""
    return 1.0 - float(frame_mask(frame_Q2, SHARE_PX).mean())


def continued(crop: Image.Image, frame_Q2: Array | None) -> Image.Image:
    """Return an RGB crop whose outside is continued smoothly from what lies inside.

    Networks need pixels everywhere. These depend on the picture alone, whatever stood there before:
    weighted means of ever larger neighbourhoods (push-pull, Gortler et al., 1996).
    """
    if frame_Q2 is None:
        return crop
    rgb_HWC = np.asarray(crop.convert("RGB"))
    inside_HW = frame_mask(frame_Q2, crop.width)
    rgb_CHW: Floats = np.ascontiguousarray(np.moveaxis(rgb_HWC, 2, 0)).astype(np.float32)
    filled_HWC = np.moveaxis(push_pull(rgb_CHW, inside_HW.astype(np.float32)), 0, 2)
    pixels_HWC = np.where(inside_HW[..., None], rgb_HWC, np.round(filled_HWC).clip(0, 255))
    return Image.fromarray(pixels_HWC.astype(np.uint8))


def push_pull(mean_CHW: Floats, weight_HW: Floats) -> Floats:
    """Fill positions of a weight below one from the weighted means of a map of half the size."""
    if len(weight_HW) == 1 or weight_HW.min() == 1:
        return mean_CHW
    total_HW = _halve(weight_HW)
    weighted_CHW = _halve(mean_CHW * weight_HW)
    halved_CHW = np.divide(weighted_CHW, np.maximum(total_HW, EPS), dtype=np.float32)
    coarse_CHW = push_pull(halved_CHW, np.minimum(total_HW, 1))
    size = weight_HW.shape[1], weight_HW.shape[0]
    channels = [
        np.asarray(Image.fromarray(channel).resize(size, Image.Resampling.BILINEAR))
        for channel in coarse_CHW
    ]
    filled: Floats = weight_HW * mean_CHW + (1 - weight_HW) * np.stack(channels)
    return filled


def _halve(x: Floats) -> Floats:
    """Add up squares of two by two positions of a map (..., H, W)."""
    odd = x.shape[-1] % 2
    even = np.pad(x, [(0, 0)] * (x.ndim - 2) + [(0, odd)] * 2) if odd else x
    rows = even[..., 0::2, :] + even[..., 1::2, :]
    halved: Floats = rows[..., 0::2] + rows[..., 1::2]
    return halved


def _depths(frame_Q2: Array, points: Array) -> Array:
    """Compute the signed distances (N, E) of points (N, 2) to a frame's edges, positive inside."""
    along_E2 = np.roll(frame_Q2, -1, 0) - frame_Q2
    normal_E2 = np.stack((along_E2[:, 1], -along_E2[:, 0]), 1)
    normal_E2 = normal_E2 / np.maximum(np.linalg.norm(normal_E2, axis=1, keepdims=True), 1e-12)
    depths: Array = points @ normal_E2.T - (frame_Q2 * normal_E2).sum(1)
    return depths
