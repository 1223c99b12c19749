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
# JPEG's limit; a longer block can hold millions of values in one tag.
MAX_EXIF_BYTES = 65_536
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


def to_upright_srgb(image: Image.Image) -> Image.Image:
    """Convert a decoded picture to upright RGB in sRGB, itself where it is that, else close it.

    Strip by strip, and turned at last, so that no more than two pictures are in memory at a time.
    16-bit levels are scaled; transparency lies on white; metadata is read and never rewritten.

    Args:
        image: of any mode. Its EXIF orientation is applied, its ICC profile converted; one that is
            broken says nothing about the pixels.
    """
    turn = _turn(image)
    rgb = _converted(image)
    if rgb is not image:
        image.close()
    return rgb if turn is None else rgb.transpose(turn)


def as_rgb(image: Image.Image) -> Image.Image:
    """Return an RGB picture itself, which Pillow would copy, and any other converted."""
    return image if image.mode == "RGB" else image.convert("RGB")


def _turn(image: Image.Image) -> Image.Transpose | None:
    """Return what makes a picture upright."""
    if len(image.info.get("exif") or b"") > MAX_EXIF_BYTES:
        return None
    try:
        return UPRIGHT.get(image.getexif().get(ORIENTATION, 1))
    # Odd metadata, such as a text where a number belongs, says nothing about the pixels.
    except Exception:
        return None


def _converted(image: Image.Image) -> Image.Image:
    """Return a picture as RGB in sRGB."""
    if image.mode in DEEP_GREY:
        grey = _grey_levels(image)
        image.close()
        return grey.convert("RGB")
    transform = _to_srgb(image)
    layered = image.has_transparency_data
    if transform is None and not layered:
        return as_rgb(image)
    result = Image.new("RGB", image.size)
    for box in _strips(image.size):
        strip = image.crop(box)
        if layered or strip.mode in ("P", "PA"):
            strip = strip.convert("RGBA" if layered else "RGB")
        result.paste(_strip(strip, transform), box)
    return result


def _strip(strip: Image.Image, transform: ImageCms.ImageCmsTransform | None) -> Image.Image:
    """Return a strip, RGBA if it is transparent, as RGB on white."""
    if strip.mode != "RGBA":
        return _moved(strip, transform)
    colours = _moved(strip.convert("RGB"), transform)
    colours.putalpha(strip.getchannel("A"))
    ground = Image.new("RGBA", strip.size, (*BACKGROUND, 255))
    return Image.alpha_composite(ground, colours).convert("RGB")


def _moved(strip: Image.Image, transform: ImageCms.ImageCmsTransform | None) -> Image.Image:
    if transform is None:
        return strip.convert("RGB")
    moved = ImageCms.applyTransform(strip, transform)
    assert moved is not None
    return moved


def _to_srgb(image: Image.Image) -> ImageCms.ImageCmsTransform | None:
    """Return the transform from a picture's ICC profile to sRGB; None where none is needed."""
    profile = image.info.get("icc_profile")
    colours = image.has_transparency_data or image.mode in ("P", "PA")
    mode = "RGB" if colours else image.mode
    if not profile or mode not in ("RGB", "L", "CMYK"):
        return None
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        return None if mode == "RGB" and _is_identity(transform) else transform
    except (ImageCms.PyCMSError, ValueError, OSError, TypeError):
        return None


def _is_identity(transform: ImageCms.ImageCmsTransform) -> bool:
    """Return True if a transform moves no colour by more than rounding: sRGB by another name."""
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    lattice = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(27, 27, 3)
    moved = ImageCms.applyTransform(Image.fromarray(lattice), transform)
    return bool(np.abs(np.asarray(moved).astype(int) - lattice).max() <= IDENTITY_LEVELS)


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
