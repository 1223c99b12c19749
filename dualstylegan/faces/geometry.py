"""FFHQ crop (Karras et al., 2019): an oriented square around a face, from eyes and mouth.

Legend of shape suffixes: K landmark, Q corner of a quad, 2 x and y in pixels.

A quad holds the corners top left, bottom left, bottom right, top right of an upright face.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from dualstylegan.errors import FaceError
from dualstylegan.faces.frame import TRIM_SHARE, Array

Pixels = NDArray[np.uint8]

LEFT_EYE, RIGHT_EYE = slice(36, 42), slice(42, 48)
MOUTH_CORNERS = (48, 54)

OVERSAMPLING = 2
# FFHQ pads by reflection, blurred and faded into a colour. Radius of the blur, and distance of the
# fade, as fractions of the crop's side; size of the corners that give the colour, of the photo's.
PADDING_BLUR = 0.02
FADE_SHARE = 0.06
CORNER_SHARE = 0.06


def ffhq_quad(left_eye: Array, right_eye: Array, mouth: Array) -> Array:
    """Compute FFHQ's square (4, 2) from the eye centres and the midpoint of the mouth corners."""
    eyes = (left_eye + right_eye) / 2
    across, down = right_eye - left_eye, mouth - eyes
    x = across - np.array([-down[1], down[0]])
    x *= max(np.hypot(*across) * 2.0, np.hypot(*down) * 1.8) / max(np.hypot(*x), 1e-9)
    y = np.array([-x[1], x[0]])
    centre = eyes + down * 0.1
    return np.stack((centre - x - y, centre - x + y, centre + x + y, centre + x - y))


def ffhq_quad_of_landmarks(landmarks_K2: Array) -> Array:
    """Compute FFHQ's square (4, 2) from 68 landmarks, in pixels."""
    eyes = landmarks_K2[LEFT_EYE].mean(0), landmarks_K2[RIGHT_EYE].mean(0)
    return ffhq_quad(*eyes, landmarks_K2[list(MOUTH_CORNERS)].mean(0))


def quad_side(quad_Q2: Array) -> float:
    """Return the side of a quad in pixels."""
    return float(np.hypot(*(quad_Q2[3] - quad_Q2[0])))


def crop_quad(photo: Image.Image, quad_Q2: Array, size: int) -> Image.Image:
    """Resample a quad of a photo to an upright square of `size` pixels.

    Beyond its edges the photo is padded, see `_pad`.

    Raises:
        FaceError: the quad lies outside of the photo.
    """
    quad = quad_Q2.copy()
    side = quad_side(quad)
    shrink = side / (OVERSAMPLING * size)
    if shrink > 1:  # reduce first: the bilinear resampling below would alias
        reduced = [max(1, round(s / shrink)) for s in photo.size]
        quad *= np.array(reduced) / np.array(photo.size)
        photo = photo.resize((reduced[0], reduced[1]), Image.Resampling.LANCZOS)
        side = quad_side(quad)
    border = math.ceil(side * 0.1) + 2
    low = np.floor(quad.min(0)).astype(int) - border
    high = np.ceil(quad.max(0)).astype(int) + border
    part = _pad(photo, low, high, side)
    corners = tuple((quad - low).reshape(-1).tolist())
    inner = OVERSAMPLING * size
    square = part.transform(
        (inner, inner), Image.Transform.QUAD, corners, Image.Resampling.BILINEAR
    )
    return square.resize((size, size), Image.Resampling.LANCZOS)


def _pad(
    photo: Image.Image, low: NDArray[np.int_], high: NDArray[np.int_], side: float
) -> Image.Image:
    """Crop the rectangle from `low` to `high` of a photo, padded beyond its edges.

    The padding is the blurred reflection of the photo, faded into its background. A reflection
    alone mirrors hair that touches the edge, and a model trained on such crops learns that.
    """
    trim = round(TRIM_SHARE * min(photo.size))
    inner = np.maximum(low, trim), np.minimum(high, np.array(photo.size) - trim)
    if (inner[1] <= inner[0]).any():
        raise FaceError("the face lies outside of the image")
    part = np.asarray(photo.crop((*inner[0].tolist(), *inner[1].tolist())))
    before, after = inner[0] - low, high - inner[1]
    if not before.any() and not after.any():
        return Image.fromarray(part)
    pads = ((before[1], after[1]), (before[0], after[0]), (0, 0))
    padded = Image.fromarray(np.pad(part, pads, "reflect" if min(part.shape[:2]) > 1 else "edge"))
    blur = side * PADDING_BLUR
    soft = _fade_to_background(
        padded.filter(ImageFilter.GaussianBlur(blur)), part, pads[:2], side * FADE_SHARE
    )
    inside = Image.new("L", padded.size, 0)
    inside.paste(255, (int(before[0]), int(before[1]), *(inner[1] - low).tolist()))
    fade = inside.filter(ImageFilter.GaussianBlur(blur / 2))
    # The photo stays sharp to its last pixel; the transition lies in the reflection.
    fade.paste(255, mask=inside)
    return Image.composite(padded, soft, fade)


def _fade_to_background(
    image: Image.Image, part: Pixels, pads: Sequence[tuple[int, int]], reach: float
) -> Image.Image:
    """Fade the padding around `part` into the colours of the corners of `part`.

    The corners of a portrait show its background; anything may touch the edges between them.

    Args:
        image: padded image.
        part: the image without padding.
        pads: rows above and below `part`, columns left and right of it.
        reach: distance from `part` in pixels at which only the colour is left.
    """
    shares, distances = [], []
    for axis, (first, last) in enumerate(pads):
        end = part.shape[axis] - 1
        at = np.expand_dims(np.arange(-first, end + 1 + last, dtype=np.float64), 1 - axis)
        distances.append(np.maximum(np.maximum(-at, at - end), 0))
        shares.append((at / max(end, 1)).clip(0, 1)[..., None])
    down, right = shares
    top, bottom = (
        (1 - right) * _corner_color(half) + right * _corner_color(half[:, ::-1])
        for half in (part, part[::-1])
    )
    colour = (1 - down) * top + down * bottom
    far = np.clip(np.hypot(*distances) / reach, 0, 1)[..., None]
    share = far * far * (3 - 2 * far)
    mixed = np.asarray(image) * (1 - share) + colour * share
    return Image.fromarray(np.round(mixed).astype(np.uint8))


def _corner_color(part: Pixels) -> Array:
    """Compute the median colour (3,) of the upper left corner."""
    rows, columns = (math.ceil(CORNER_SHARE * count) for count in part.shape[:2])
    median: Array = np.median(part[:rows, :columns], axis=(0, 1))
    return median
