"""FFHQ crop (Karras et al., 2019): an oriented square around a face, from eyes and mouth.

Legend of shape suffixes: K landmark, Q corner of a quad, 2 x and y in pixels.

A quad holds the corners top left, bottom left, bottom right, top right of an upright face.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from dualstylegan.errors import FaceError
from dualstylegan.faces.frame import TRIM_SHARE, Array

Pixels = NDArray[np.uint8]
Ints = NDArray[np.int_]
Box = tuple[int, int, int, int]

LEFT_EYE, RIGHT_EYE = slice(36, 42), slice(42, 48)
MOUTH_CORNERS = (48, 54)

OVERSAMPLING = 2
# A face of more than twice so many times the size is averaged in squares first, which nobody sees.
REDUCING_GAP = 3.0
# FFHQ pads by reflection, blurred and faded into a colour. Radius of the blur, and distance of the
# fade, as fractions of the crop's side; size of the corners that give the colour, of the photo's.
PADDING_BLUR = 0.02
FADE_SHARE = 0.06
CORNER_SHARE = 0.06
# Pillow's Gaussian is three boxes: it reads no further than so many of its radii, and pixels.
BLUR_REACH = 3


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


def crop_quad(
    photo: Image.Image, quad_Q2: Array, size: int, oversampling: int = OVERSAMPLING
) -> Image.Image:
    """Resample a quad of a photo to an upright square of `size` pixels.

    Beyond its edges the photo is padded, see `_pad`. Work and memory are those of the quad,
    whatever the size of the photo.

    Args:
        photo: RGB.
        quad_Q2: corners (4, 2) in the photo, in pixels.
        size: in pixels.
        oversampling: samples a pixel along each side; 1 is quicker and a little less sharp.

    Raises:
        FaceError: the quad lies outside of the photo.
    """
    # reduced first: the bilinear resampling below would alias
    shrink = max(1.0, quad_side(quad_Q2) / (oversampling * size))
    reduced = np.maximum(1, np.round(np.array(photo.size) / shrink)).astype(int)
    quad = quad_Q2 * (reduced / np.array(photo.size))
    side = quad_side(quad)
    border = math.ceil(side * 0.1) + 2
    low = np.floor(quad.min(0)).astype(int) - border
    high = np.ceil(quad.max(0)).astype(int) + border
    trim = round(TRIM_SHARE * int(reduced.min()))
    inner = np.maximum(low, trim), np.minimum(high, reduced - trim)
    if (inner[1] <= inner[0]).any():
        raise FaceError(
            "the face lies outside of the image", fix="give a photo that shows the whole face"
        )
    part = _pad(_reduced_part(photo, reduced, *inner), inner[0] - low, high - inner[1], side)
    corners = tuple((quad - low).reshape(-1).tolist())
    inner_px = oversampling * size
    square = part.transform(
        (inner_px, inner_px), Image.Transform.QUAD, corners, Image.Resampling.BILINEAR
    )
    return square.resize((size, size), Image.Resampling.LANCZOS)


def _reduced_part(photo: Image.Image, reduced: Ints, low: Ints, high: Ints) -> Image.Image:
    """Return the rectangle from `low` to `high` of a photo resized to `reduced`, and no more."""
    size = np.array(photo.size)
    if (reduced == size).all():
        return photo.crop((*low.tolist(), *high.tolist()))
    scale = size / reduced
    width, height = (high - low).tolist()
    box = tuple(np.concatenate((low * scale, np.minimum(high * scale, size))).tolist())
    return photo.resize((width, height), Image.Resampling.LANCZOS, box, REDUCING_GAP)


def _pad(part: Image.Image, before: Ints, after: Ints, side: float) -> Image.Image:
    """Pad a part of a photo beyond the photo's edges.

    The padding is the blurred reflection of the photo, faded into its background. A reflection
    alone mirrors hair that touches the edge, and a model trained on such crops learns that.

    Args:
        part: RGB.
        before, after: pixels (2,) to add left and above, right and below.
        side: of the crop, in pixels.
    """
    if not before.any() and not after.any():
        return part
    pixels_HWC = np.asarray(part)
    pads = np.array(((before[1], after[1]), (before[0], after[0]), (0, 0)))
    mode: Literal["reflect", "edge"] = "reflect" if min(part.size) > 1 else "edge"
    padded = Image.fromarray(np.pad(pixels_HWC, pads, mode))
    inside = (*before.tolist(), *(before + part.size).tolist())
    blur = side * PADDING_BLUR
    output = padded.copy()
    for box in _strips(inside, padded.size):
        reach = math.ceil(BLUR_REACH * (blur + 2))
        left, top = max(0, box[0] - reach), max(0, box[1] - reach)
        right, bottom = min(padded.width, box[2] + reach), min(padded.height, box[3] + reach)
        within = (box[0] - left, box[1] - top, box[2] - left, box[3] - top)
        # The photo stays sharp to its last pixel; the transition lies in the reflection.
        mask = Image.new("L", (right - left, bottom - top), 0)
        mask.paste(255, (inside[0] - left, inside[1] - top, inside[2] - left, inside[3] - top))
        mask = mask.filter(ImageFilter.GaussianBlur(blur / 2)).crop(within)
        soft = padded.crop((left, top, right, bottom)).filter(ImageFilter.GaussianBlur(blur))
        corner = box[0] - inside[0], box[1] - inside[1]
        soft = _fade_to_background(soft.crop(within), pixels_HWC, corner, side * FADE_SHARE)
        output.paste(Image.composite(padded.crop(box), soft, mask), box[:2])
    return output


def _strips(inside: Box, size: tuple[int, int]) -> list[Box]:
    """Return the boxes above, below, left and right of a box in an image, those with pixels."""
    left, top, right, bottom = inside
    width, height = size
    boxes = [
        (0, 0, width, top),
        (0, bottom, width, height),
        (0, top, left, bottom),
        (right, top, width, bottom),
    ]
    return [box for box in boxes if box[0] < box[2] and box[1] < box[3]]


def _fade_to_background(
    image: Image.Image, part_HWC: Pixels, corner: tuple[int, int], reach: float
) -> Image.Image:
    """Fade a place beside a part of a photo into the colours of the corners of the part.

    The corners of a portrait show its background; anything may touch the edges between them.

    Args:
        image: the place.
        part_HWC: the part.
        corner: left and top of the place, in pixels of the part.
        reach: distance from the part in pixels at which only the colour is left.
    """
    shares, distances = [], []
    for axis, (count, start) in enumerate(zip(image.size[::-1], corner[::-1], strict=True)):
        end = part_HWC.shape[axis] - 1
        at = np.expand_dims(np.arange(start, start + count, dtype=np.float64), 1 - axis)
        distances.append(np.maximum(np.maximum(-at, at - end), 0))
        shares.append((at / max(end, 1)).clip(0, 1)[..., None])
    down, right = shares
    top, bottom = (
        (1 - right) * _corner_color(half) + right * _corner_color(half[:, ::-1])
        for half in (part_HWC, part_HWC[::-1])
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
