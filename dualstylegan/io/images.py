"""Pictures in and out: read safely whatever people have, written so that same means same bytes.

Images in memory are PIL RGB; tensors are float32 CHW RGB in [-1, 1].
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageOps, UnidentifiedImageError
from torch import Tensor

from dualstylegan.errors import DataError, ImageError
from dualstylegan.io.files import write_bytes

THUMBNAIL_QUALITY = 88
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"}
)
MOST_PIXELS = 64_000_000
MOST_SIDE = 20_000
MOST_FILE_BYTES = 256 << 20
SMALLEST_SIDE = 8
BACKGROUND = (255, 255, 255)
LABEL_PX = 18


def read_image(path: Path | str) -> Image.Image:
    """Read an image file as upright RGB.

    EXIF orientation is applied, transparency lies on white, CMYK, palettes, grey levels and 16-bit
    values become RGB; of an animation the first frame counts. The size is checked in the header,
    before any pixel is decoded.

    Raises:
        ImageError: not an image, damaged, or larger than the limits.
    """
    path = Path(path)
    if not path.is_file():
        raise ImageError("no such image file", file=path, fix="check the path")
    size = path.stat().st_size
    if size > MOST_FILE_BYTES:
        raise ImageError("the file is too large", file=path, value=size, limit=MOST_FILE_BYTES)
    try:
        with warnings.catch_warnings():
            # The limits are our own, checked below on the header.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                _check_size(image.size, path)
                image.load()
                return to_rgb(ImageOps.exif_transpose(image))
    except Image.DecompressionBombError as error:
        raise ImageError(
            "the image is too large", file=path, value=error, limit=f"{MOST_PIXELS} pixels"
        ) from error
    except UnidentifiedImageError as error:
        raise ImageError(
            "not an image, whatever its name says",
            file=path,
            limit=", ".join(FORMATS),
            fix="convert it to PNG or JPEG",
        ) from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(
            "a damaged image", file=path, value=error, fix="export or copy it anew"
        ) from error


def _check_size(size: tuple[int, int], path: Path) -> None:
    width, height = size
    if max(size) > MOST_SIDE or width * height > MOST_PIXELS:
        raise ImageError(
            "the image is too large",
            file=path,
            value=f"{width} x {height}",
            limit=f"{MOST_PIXELS // 1_000_000} megapixels and {MOST_SIDE} pixels a side",
            fix="scale it down",
        )
    if min(size) < SMALLEST_SIDE:
        raise ImageError(
            "the image is too small",
            file=path,
            value=f"{width} x {height}",
            limit=f"{SMALLEST_SIDE} pixels a side",
        )


def to_rgb(image: Image.Image) -> Image.Image:
    """Any PIL mode to RGB: 16-bit levels scaled, transparency laid on white."""
    if image.mode in ("I;16", "I;16L", "I;16B", "I;16N", "I", "F"):
        levels = np.asarray(image).astype(np.float64)
        full = 255 if levels.max(initial=0) <= 255 and image.mode in ("I", "F") else 65535
        grey = np.clip(levels / full * 255, 0, 255).round().astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, (*BACKGROUND, 255))
        return Image.alpha_composite(ground, layered).convert("RGB")
    return image.convert("RGB")


def image_to_tensor(image: Image.Image, size: int | None = None) -> Tensor:
    """A PIL image as a tensor (3, H, W) in [-1, 1], resized to a square of `size` if given."""
    if size is not None and image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.LANCZOS)
    array_HWC = np.array(image.convert("RGB"))
    return torch.from_numpy(array_HWC).permute(2, 0, 1).float().div(127.5).sub(1).contiguous()


def tensor_to_image(x_CHW: Tensor) -> Image.Image:
    """A tensor (3, H, W) as a PIL image; values outside [-1, 1] are clamped."""
    levels = x_CHW.detach().float().cpu().clamp(-1, 1).add(1).mul(127.5).round()
    return Image.fromarray(levels.to(torch.uint8).permute(1, 2, 0).contiguous().numpy())


def png_bytes(image: Image.Image) -> bytes:
    """The PNG file of an image, without metadata: same pixels, same bytes."""
    buffer = io.BytesIO()
    bare = Image.fromarray(np.asarray(image.convert("RGB")))
    bare.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def write_png(path: Path | str, image: Image.Image) -> None:
    """Write an image as PNG, atomically."""
    write_bytes(path, png_bytes(image))


def list_images(folder: Path | str) -> list[Path]:
    """The image files of a folder by name.

    Raises:
        DataError: no such folder, none in it, or two that differ in their ending alone.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError("no such folder", file=folder, fix="create it and put images into it")
    paths = sorted(
        (p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.name[0] != "."),
        key=lambda p: p.name,
    )
    if not paths:
        raise DataError(
            "no images in the folder",
            file=folder,
            limit=", ".join(sorted(SUFFIXES)),
            fix="put at least one image into it",
        )
    stems = [p.stem for p in paths]
    twice = sorted({s for s in stems if stems.count(s) > 1})
    if twice:
        raise DataError(
            "two images of one name", file=folder, value=twice, fix="rename one: names are keys"
        )
    return paths


def make_grid(
    images: Sequence[Image.Image],
    columns: int,
    labels: Sequence[str] | None = None,
    gap: int = 4,
) -> Image.Image:
    """Lay images out in rows on white, each cell as large as the first image.

    Args:
        images: at least one.
        columns: cells a row.
        labels: one a picture, written beneath it.
        gap: pixels between cells.
    """
    if not images:
        raise DataError("no images to lay out")
    width, height = images[0].size
    foot = LABEL_PX if labels is not None else 0
    rows = math.ceil(len(images) / columns)
    sheet_size = (columns * (width + gap) + gap, rows * (height + foot + gap) + gap)
    sheet = Image.new("RGB", sheet_size, BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for i, image in enumerate(images):
        x = gap + i % columns * (width + gap)
        y = gap + i // columns * (height + foot + gap)
        if image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.LANCZOS)
        sheet.paste(image, (x, y))
        if labels is not None:
            draw.text((x + 2, y + height + 2), labels[i][: width // 6], fill=(40, 40, 40))
    return sheet


def thumbnail(image: Image.Image, pixels: int) -> bytes:
    """A small JPEG, at most `pixels` wide and high."""
    small = image.convert("RGB")
    small.thumbnail((pixels, pixels), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=THUMBNAIL_QUALITY)
    return buffer.getvalue()
