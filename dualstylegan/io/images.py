"""Pictures in and out: read safely whatever people have, written so that same means same bytes.

Images in memory are PIL RGB; tensors are float32 CHW RGB in [-1, 1]. torch is imported where one is
asked for.
"""

from __future__ import annotations

import hashlib
import io
import math
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from PIL import Image, ImageDraw, UnidentifiedImageError

from dualstylegan.errors import DataError, ImageError
from dualstylegan.io.arrays import HALF_LEVELS, image_to_array
from dualstylegan.io.conversion import BACKGROUND, STRIP_ROWS, to_upright_srgb
from dualstylegan.io.files import READ_FIX, write_bytes
from dualstylegan.io.picture_bounds import (
    MAX_FILE_BYTES,
    MAX_PIXELS,
    Source,
    check_file,
    check_picture,
    head_of,
)

if TYPE_CHECKING:
    from torch import Tensor


T = TypeVar("T")
THUMBNAIL_QUALITY = 88
FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "BMP", "TIFF", "GIF", "PPM")
HEIC = "HEIF"
HEIC_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
SUFFIXES = HEIC_SUFFIXES | {
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif"),
    *(".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pbm", ".pnm"),
}
HEIC_FIX = "pip install pillow-heif, or export it as JPEG"
# The brands of HEIC in the file type box of an ISO media file.
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
# A picture of this size or more is decoded while no other such is: each takes up to a gigabyte.
LARGE_PIXELS = 16_000_000
LABEL_PX = 18
# Weights of red, green and blue in luma (ITU-R BT.601), as in JPEG.
LUMA = (0.299, 0.587, 0.114)
# Files that systems leave in folders, of which nobody needs to be told.
SYSTEM_FILES = frozenset({"Thumbs.db", "desktop.ini"})


def read_image(path: Path | str) -> Image.Image:
    """Read an image file as upright RGB in sRGB.

    EXIF orientation is applied and colour profiles are converted; transparency lies on white;
    CMYK, palettes, grey levels and 16-bit values become RGB; of an animation the first frame
    counts. The size is checked in the header, before any pixel is decoded.

    Raises:
        ImageError: not an image, damaged, or larger than the limits.
    """
    path = Path(path)
    check_image_file(path)
    return _opened(path, path, _decode)


def check_image_file(path: Path) -> None:
    """Refuse what is no regular file, is empty, or is larger than an image that is read.

    Raises:
        ImageError: as said. Files of the system, which never end or are waited for, have no bytes.
    """
    try:
        size = path.stat().st_size if path.is_file() else None
    except OSError as error:
        raise ImageError("cannot be read", file=path, value=error.strerror, fix=READ_FIX) from error
    if size is None:
        raise ImageError("no such image file", file=path, fix="check the path")
    if size == 0:
        raise ImageError("an empty file", file=path, fix="export or copy it anew")
    if size > MAX_FILE_BYTES:
        raise ImageError(
            "the file is too large",
            file=path,
            value=size,
            limit=MAX_FILE_BYTES,
            fix="save the picture as PNG or JPEG",
        )


def decode_image(data: bytes) -> Image.Image:
    """Decode the bytes of an image file, with the checks and conversions of `read_image`."""
    return _opened(io.BytesIO(data), None, _decode)


def image_size(data: bytes) -> tuple[int, int]:
    """Return the sides of an image by its file's header, with the checks of `read_image`."""
    return _opened(io.BytesIO(data), None, lambda image: image.size)


_LARGE = threading.Lock()


def _decode(image: Image.Image) -> Image.Image:
    large = image.width * image.height >= LARGE_PIXELS
    with _LARGE if large else nullcontext():
        image.load()
        return to_upright_srgb(image)


def _opened(source: Source, path: Path | None, act: Callable[[Image.Image], T]) -> T:
    """Open an image of a file or in memory, check its header, and return what is made of it.

    Args:
        source: the file.
        path: named in errors.
        act: makes something of the opened image, or raises whatever a damaged one makes it raise.
    """
    try:
        check_file(source, path)
        with warnings.catch_warnings():
            # The limits are our own, checked below on the header; odd metadata is ignored.
            warnings.simplefilter("ignore")
            with Image.open(source, formats=_formats()) as image:
                check_picture(image, source, path)
                return act(image)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(
            "the image is too large",
            file=path,
            value=error,
            limit=f"{MAX_PIXELS} pixels",
            fix="scale it down",
        ) from error
    except UnidentifiedImageError as error:
        raise _unidentified(source, path) from error
    except MemoryError as error:
        raise ImageError("not enough memory to decode", file=path, fix="scale it down") from error
    except OSError as error:
        if error.filename is None:  # of the content, not of the file
            raise _damaged(error, path) from error
        raise ImageError("cannot be read", file=path, value=error.strerror, fix=READ_FIX) from error
    # Decoders of damaged files raise whatever they stumble over: struct.error, TypeError, ...
    except Exception as error:
        raise _damaged(error, path) from error


def _damaged(error: Exception, path: Path | None) -> ImageError:
    return ImageError(
        "a damaged image",
        file=path,
        value=error if str(error) else type(error).__name__,
        fix="export or copy it anew",
    )


@lru_cache(maxsize=1)
def _formats() -> tuple[str, ...]:
    """Return the formats that are read: Pillow's, and HEIC where pillow-heif is installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return FORMATS
    register_heif_opener()
    return (*FORMATS, HEIC)


def _unidentified(source: Source, path: Path | None) -> ImageError:
    """Return the error for a file that no decoder takes."""
    head = head_of(source, 12)
    if head[4:8] == b"ftyp" and head[8:12] in HEIC_BRANDS and HEIC not in _formats():
        return ImageError("HEIC is not read here", file=path, fix=HEIC_FIX)
    return ImageError(
        "not an image in a format that is read",
        file=path,
        limit=", ".join(_formats()),
        fix="convert it to PNG or JPEG",
    )


def quantize(x: Tensor) -> Tensor:
    """Return values in [-1, 1] (any shape; clamped) as uint8 levels, rounded to the nearest."""
    return ((x.detach().float().clamp(-1, 1) + 1) * HALF_LEVELS).round().byte()


def dequantize(levels: Tensor) -> Tensor:
    """Return uint8 levels (any shape) as float32 values in [-1, 1]."""
    return levels.float() / HALF_LEVELS - 1


def luma(image: Tensor) -> Tensor:
    """Compute the luma (..., 1, H, W) of RGB images (..., 3, H, W) of any range."""
    return (image * image.new_tensor(LUMA).view(3, 1, 1)).sum(-3, keepdim=True)


def image_to_tensor(image: Image.Image, size: int | None = None) -> Tensor:
    """Return a PIL image as a tensor (3, H, W) in [-1, 1], resized to `size` squared if given."""
    import torch

    return torch.from_numpy(image_to_array(image, size))


def tensor_to_image(x_CHW: Tensor) -> Image.Image:
    """Return a tensor (3, H, W) as a PIL image; values outside [-1, 1] are clamped."""
    return Image.fromarray(quantize(x_CHW).cpu().permute(1, 2, 0).contiguous().numpy())


def png_bytes(image: Image.Image) -> bytes:
    """Return the PNG file of an image, without metadata: same pixels, same bytes."""
    buffer = io.BytesIO()
    bare = Image.fromarray(np.asarray(image.convert("RGB")))
    bare.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def write_png(path: Path | str, image: Image.Image) -> None:
    """Write an image as PNG, atomically."""
    write_bytes(path, png_bytes(image))


@dataclass(frozen=True)
class ImageFolder:
    """The image files of a folder.

    Attributes:
        paths: files that are taken, by name.
        skipped: files and folders that are not, each with the reason.
    """

    paths: tuple[Path, ...]
    skipped: tuple[tuple[Path, str], ...]


def scan_images(folder: Path | str) -> ImageFolder:
    """Return the image files of a folder, and everything else in it with the reason.

    Files are taken by their ending; links are followed. Hidden files are passed over silently.

    Raises:
        DataError: no such folder, or it cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError("no such folder", file=folder, fix="create it and put images into it")
    paths, skipped = [], []
    try:
        entries = sorted(folder.iterdir(), key=lambda path: path.name)
    except OSError as error:
        raise DataError(
            "cannot be read", file=folder, value=error.strerror, fix=READ_FIX
        ) from error
    for path in entries:
        if path.name[0] == "." or path.name in SYSTEM_FILES:
            continue
        reason = _not_taken(path)
        if reason is None:
            paths.append(path)
        else:
            skipped.append((path, reason))
    return ImageFolder(tuple(paths), tuple(skipped))


def _not_taken(path: Path) -> str | None:
    """Return the reason why a file is not read as an image; None if it is."""
    suffix = path.suffix.lower()
    if path.is_dir():
        return "a folder: images lie in the folder itself"
    if not path.is_file():
        return "no file: a broken link or a device"
    if suffix in HEIC_SUFFIXES and HEIC not in _formats():
        return f"HEIC is not read here: {HEIC_FIX}"
    if suffix not in SUFFIXES:
        return f"{suffix or 'a file without an ending'} is no image format that is read"
    return None


def list_images(folder: Path | str) -> list[Path]:
    """Return the image files of a folder by name.

    Raises:
        DataError: no such folder, none in it, or two that differ in their ending alone.
    """
    paths = list(scan_images(folder).paths)
    if not paths:
        raise DataError(
            "no images in the folder",
            file=folder,
            limit=", ".join(sorted(SUFFIXES)),
            fix="put at least one image into it",
        )
    stems = [p.stem for p in paths]
    repeated = sorted({s for s in stems if stems.count(s) > 1})
    if repeated:
        raise DataError(
            "two images of one name", file=folder, value=repeated, fix="rename one: names are keys"
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
        raise DataError("no images to lay out", fix="give one at least")
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


def picture_digest(image: Image.Image) -> str:
    """Compute the SHA-256 of the size and the pixels of an RGB image, as hex, in strips."""
    digest = hashlib.sha256(f"{image.width} {image.height}\n".encode())
    for top in range(0, image.height, STRIP_ROWS):
        bottom = min(top + STRIP_ROWS, image.height)
        digest.update(image.crop((0, top, image.width, bottom)).tobytes())
    return digest.hexdigest()


def thumbnail(image: Image.Image, pixels: int) -> bytes:
    """Return a small JPEG, at most `pixels` wide and high."""
    small = image.convert("RGB")
    small.thumbnail((pixels, pixels), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=THUMBNAIL_QUALITY)
    return buffer.getvalue()
