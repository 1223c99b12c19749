"""Bounds of pictures, checked on their headers before any pixel is decoded.

Sides and pixels are not enough: a decoder can be led to take more memory or time than its picture.
"""

from __future__ import annotations

import io
import re
from contextlib import nullcontext
from pathlib import Path

from PIL import Image

from dualstylegan.errors import ImageError
from dualstylegan.io.picture_records import RecordsError, check_records

MAX_PIXELS = 64_000_000
MAX_SIDE = 20_000
MAX_FILE_BYTES = 256 << 20
MIN_SIDE = 8
# Bytes in which the header of a netpbm file must end: Pillow reads its comments byte by byte.
NETPBM_HEADER_BYTES = 4096
# Memory of decoding, and the bytes a pixel that Pillow's decoders of whole files take, measured:
# several copies of the picture. Others decode into the picture itself.
MAX_DECODER_BYTES = 800 << 20
DECODER_BYTES = {"WEBP": 20, "AVIF": 16, "HEIF": 16}
# Pixels and bytes of formats that Pillow decodes in Python, at some microseconds each: netpbm as
# text or of uncommon depth, BMP with run lengths.
MAX_SLOW_PIXELS = 1_000_000
MAX_SLOW_BYTES = 16 << 20
# Pixels of one tile of a TIFF, which is decoded whole, whatever the size of the picture.
MAX_TILE_PIXELS = 16_000_000
TILE_WIDTH, TILE_LENGTH = 322, 323
# Passes over a progressive JPEG: each scan costs one over all pixels, and may be a few bytes long.
MAX_SCAN_PIXELS = 4_000_000_000
START_OF_SCAN = b"\xff\xda"
BLOCK_BYTES = 1 << 20
FIX = "convert it to PNG or JPEG"

Source = Path | io.BytesIO


def check_file(source: Source, path: Path | None) -> None:
    """Refuse a file, not yet opened by Pillow, that takes too much memory or time to open.

    Raises:
        ImageError: a header that does not end, too many records, or a PNG of too many pixels.
    """
    _check_netpbm(head_of(source, NETPBM_HEADER_BYTES), path)
    with nullcontext(source) if isinstance(source, io.BytesIO) else source.open("rb") as file:
        try:
            check_records(file, lambda size: check_size(size, path))
        except RecordsError as error:
            raise ImageError(
                str(error), file=path, value=error.value, limit=error.limit, fix=FIX
            ) from error


def _check_netpbm(head: bytes, path: Path | None) -> None:
    """Refuse a netpbm file (PBM, PGM, PPM, PFM) whose comments are longer than any header."""
    if len(head) < NETPBM_HEADER_BYTES or not re.match(rb"P[0-9A-Za-z]{1,5}[\s#]", head):
        return
    words = re.sub(rb"#[^\n\r]*", b"", head).split(None, 4)
    if len(words) < (4 if head[1:2] in b"14" else 5):
        raise ImageError(
            "the header of the image is too long",
            file=path,
            limit=f"{NETPBM_HEADER_BYTES} bytes with its comments",
            fix=FIX,
        )


def check_picture(image: Image.Image, source: Source, path: Path | None) -> None:
    """Refuse an opened picture, not yet decoded, that takes too much memory or time.

    Raises:
        ImageError: names what is too large, and its limit.
    """
    check_size(image.size, path)
    _check_memory(image, path)
    _check_tiles(image, path)
    _check_slow(image, source, path)
    if image.format in ("JPEG", "MPO"):
        _check_scans(image, source, path)


def check_size(size: tuple[int, int], path: Path | None) -> None:
    """Refuse a picture by its sides (ImageError)."""
    width, height = size
    if max(size) > MAX_SIDE or width * height > MAX_PIXELS:
        raise _too_large(
            path, size, f"{MAX_PIXELS // 1_000_000} megapixels and {MAX_SIDE} pixels a side"
        )
    if min(size) < MIN_SIDE:
        raise ImageError(
            "the image is too small",
            file=path,
            value=f"{width} x {height}",
            limit=f"{MIN_SIDE} pixels a side",
            fix="give a larger picture",
        )


def head_of(source: Source, length: int) -> bytes:
    """Return the first bytes of a file."""
    if isinstance(source, io.BytesIO):
        source.seek(0)
        head = source.read(length)  # not `getbuffer`, which copies the file
        source.seek(0)
        return head
    with source.open("rb") as handle:
        return handle.read(length)


def _too_large(path: Path | None, size: tuple[int, int], limit: str) -> ImageError:
    return ImageError(
        "the image is too large",
        file=path,
        value=f"{size[0]} x {size[1]}",
        limit=limit,
        fix="scale it down",
    )


def _check_memory(image: Image.Image, path: Path | None) -> None:
    per_pixel = DECODER_BYTES.get(image.format or "", 0)
    if image.width * image.height * per_pixel > MAX_DECODER_BYTES:
        megapixels = MAX_DECODER_BYTES // per_pixel // 1_000_000
        raise _too_large(path, image.size, f"{megapixels} megapixels as {image.format}")


def _check_tiles(image: Image.Image, path: Path | None) -> None:
    tags = getattr(image, "tag_v2", {})
    sides = [tags.get(tag) or 1 for tag in (TILE_WIDTH, TILE_LENGTH)]
    sides = [side if isinstance(side, int) else 1 for side in sides]
    if sides[0] * sides[1] > MAX_TILE_PIXELS:
        raise ImageError(
            "the tiles of the image are too large",
            file=path,
            value=f"{sides[0]} x {sides[1]}",
            limit=f"{MAX_TILE_PIXELS // 1_000_000} megapixels",
            fix=FIX,
        )


def _check_slow(image: Image.Image, source: Source, path: Path | None) -> None:
    codecs = {str(tile[0]) for tile in getattr(image, "tile", ())}
    if codecs.isdisjoint(Image.DECODERS):
        return
    large = image.width * image.height > MAX_SLOW_PIXELS
    if large or _length(source) > MAX_SLOW_BYTES:
        raise ImageError(
            "the image is too large for its kind of file, which is slow to read",
            file=path,
            value=f"{image.width} x {image.height}, {_length(source)} bytes",
            limit=f"{MAX_SLOW_PIXELS // 1_000_000} megapixel, {MAX_SLOW_BYTES} bytes",
            fix=FIX,
        )


def _check_scans(image: Image.Image, source: Source, path: Path | None) -> None:
    count = _count(source, START_OF_SCAN)
    limit = max(MAX_SCAN_PIXELS // (image.width * image.height), 1)
    if count > limit:
        raise ImageError(
            "the image has too many scans", file=path, value=count, limit=limit, fix=FIX
        )


def _length(source: Source) -> int:
    if isinstance(source, io.BytesIO):
        here = source.tell()
        length = source.seek(0, io.SEEK_END)
        source.seek(here)
        return length
    return source.stat().st_size


def _count(source: Source, mark: bytes) -> int:
    """Return the number of occurrences of a mark in a file, read block by block."""
    if isinstance(source, io.BytesIO):
        return source.getvalue().count(mark)
    found, last = 0, b""
    with source.open("rb") as handle:
        while block := handle.read(BLOCK_BYTES):
            found += (last + block).count(mark)
            last = block[-(len(mark) - 1) :]
    return found
