"""Conversion of any picture to upright RGB in sRGB, in bounded memory.

Legend of shape suffixes: H height, W width.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageCms

BACKGROUND = (255, 255, 255)
# Rows converted at a time, where a conversion needs several times the memory of its picture.
STRIP_ROWS = 256
# Versions of sRGB differ by so many levels of 255.
IDENTITY_LEVELS = 2
DEEP_GREY = frozenset({"I;16", "I;16L", "I;16B", "I;16N", "I", "F"})

ORIENTATION = 0x0112
# EXIF orientation to what makes the image upright.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def upright(image: Image.Image) -> Image.Image:
    """Return an image turned as its EXIF orientation asks; metadata is read and never rewritten."""
    try:
        turn = UPRIGHT.get(image.getexif().get(ORIENTATION, 1))
    # Odd metadata, such as a text where a number belongs, says nothing about the pixels.
    except Exception:
        return image
    if turn is None:
        return image
    return image.transpose(turn)


def to_srgb(image: Image.Image) -> Image.Image:
    """Return an image with its embedded ICC profile converted to sRGB.

    An image in sRGB, without a profile, or with a broken one comes back untouched.
    """
    profile = image.info.get("icc_profile")
    if not profile:
        return image
    if image.mode in ("P", "PA") or image.has_transparency_data:
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    opaque = image.convert("RGB") if image.mode == "RGBA" else image
    if opaque.mode not in ("RGB", "L", "CMYK"):
        return image
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            opaque.mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        if opaque.mode == "RGB" and _is_identity(transform):
            return image
        converted = ImageCms.applyTransform(opaque, transform)
    except (ImageCms.PyCMSError, ValueError, OSError, TypeError):
        return image
    assert converted is not None
    if image.mode == "RGBA":
        converted.putalpha(image.getchannel("A"))
    return converted


def _is_identity(transform: ImageCms.ImageCmsTransform) -> bool:
    """Return True if a transform moves no colour by more than rounding: sRGB by another name."""
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    lattice = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(27, 27, 3)
    moved = ImageCms.applyTransform(Image.fromarray(lattice), transform)
    return bool(np.abs(np.asarray(moved).astype(int) - lattice).max() <= IDENTITY_LEVELS)


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any PIL mode to RGB: 16-bit levels are scaled, transparency lies on white."""
    if image.mode in DEEP_GREY:
        return _grey_levels(image).convert("RGB")
    if image.has_transparency_data:
        return _on_white(image)
    return image.convert("RGB")


def _strips(size: tuple[int, int]) -> list[tuple[int, int, int, int]]:
    """Return boxes of whole rows that cover a picture."""
    width, height = size
    starts = range(0, height, STRIP_ROWS)
    return [(0, top, width, min(top + STRIP_ROWS, height)) for top in starts]


def _grey_levels(image: Image.Image) -> Image.Image:
    """Return a picture of integers or floats as 8-bit grey, strip by strip.

    Integers of 32 bits and floats up to 255 count as levels of 255, others of 65535.
    """
    largest = image.getextrema()[1] if image.mode in ("I", "F") else None
    full = 255 if isinstance(largest, int | float) and largest <= 255 else 65535
    grey = Image.new("L", image.size)
    for box in _strips(image.size):
        levels_HW = np.asarray(image.crop(box)).astype(np.float64)
        scaled_HW = np.clip(np.nan_to_num(levels_HW) / full * 255, 0, 255)
        grey.paste(Image.fromarray(scaled_HW.round().astype(np.uint8)), box)
    return grey


def _on_white(image: Image.Image) -> Image.Image:
    """Return a transparent picture on white, strip by strip."""
    result = Image.new("RGB", image.size)
    for box in _strips(image.size):
        layered = image.crop(box).convert("RGBA")
        ground = Image.new("RGBA", layered.size, (*BACKGROUND, 255))
        result.paste(Image.alpha_composite(ground, layered).convert("RGB"), box)
    return result
