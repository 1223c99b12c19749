"""Records of picture files, counted before Pillow reads them one by one in Python.

A file can consist of millions of empty records, or claim in one of them a size for which memory is
taken before it can be checked.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import BinaryIO

PNG_MAGIC, GIF_MAGICS = b"\x89PNG\r\n\x1a\n", (b"GIF87a", b"GIF89a")
JPEG_MAGIC, TIFF_MAGICS = b"\xff\xd8", (b"II", b"MM")
MAX_RECORDS = 200_000
# Values of a TIFF's tag, which become numbers in Python: offsets of 64 megapixels in small tiles.
MAX_TAG_VALUES = 500_000
# Types of TIFF that stay bytes: byte, text, undefined.
BYTE_TYPES = frozenset({1, 2, 7})
START_OF_SCAN, END_OF_IMAGE, FILL = 0xDA, 0xD9, 0xFF
# JPEG's markers without a length: TEM, RSTn, SOI.
BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})


class RecordsError(Exception):
    """The records of a file are too many or too large.

    Attributes:
        value: what was found.
        limit: what would have been accepted.
    """

    def __init__(self, problem: str, value: object, limit: object) -> None:
        super().__init__(problem)
        self.value, self.limit = value, limit


def check_records(file: BinaryIO, check_size: Callable[[tuple[int, int]], None]) -> None:
    """Walk the records of a file as far as Pillow does, and leave it at its start.

    Args:
        file: of any format.
        check_size: called with each size (W, H) that a PNG file claims.

    Raises:
        RecordsError: there are too many, or one is too large.
    """
    head = file.read(8)
    if head == PNG_MAGIC:
        _walk_png(file, check_size)
    elif head[:6] in GIF_MAGICS:
        file.seek(6)
        _walk_gif(file)
    elif head[:2] == JPEG_MAGIC:
        file.seek(2)
        _walk_jpeg(file)
    elif head[:2] in TIFF_MAGICS:
        _check_tags(file, head)
    file.seek(0)


def _count(number: int) -> None:
    if number > MAX_RECORDS:
        raise RecordsError("the image has too many records", f"over {MAX_RECORDS}", MAX_RECORDS)


def _walk_png(file: BinaryIO, check_size: Callable[[tuple[int, int]], None]) -> None:
    number = 0
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        _count(number := number + 1)
        rest = length + 4
        if kind == b"IHDR" and length >= 8:
            check_size(struct.unpack(">II", file.read(8).ljust(8, b"\0")))
            rest -= 8
        file.seek(rest, 1)


def _walk_gif(file: BinaryIO) -> None:
    """Walk to the first picture: Pillow reads all that comes before it."""
    screen = file.read(7).ljust(7, b"\0")
    if screen[4] & 0x80:
        file.seek(3 << (screen[4] & 7) + 1, 1)
    number = 0
    while (kind := file.read(1)) not in (b"", b",", b";"):
        _count(number := number + 1)
        if kind != b"!":
            continue
        file.seek(1, 1)
        while length := file.read(1):
            if length == b"\0":
                break
            _count(number := number + 1)
            file.seek(length[0], 1)


def _walk_jpeg(file: BinaryIO) -> None:
    """Walk to the first scan."""
    number = 0
    while byte := file.read(1):
        _count(number := number + 1)
        if byte[0] != FILL:
            continue
        marker = file.read(1)
        if not marker or marker[0] in (START_OF_SCAN, END_OF_IMAGE):
            return
        if marker[0] == FILL:
            file.seek(-1, 1)
        elif marker[0] not in BARE_MARKERS and marker[0] != 0:
            file.seek(max(int.from_bytes(file.read(2), "big"), 2) - 2, 1)


def _check_tags(file: BinaryIO, head: bytes) -> None:
    """Check the tags of the first directory of a TIFF file."""
    order = "<" if head[:2] == b"II" else ">"
    wide = head[2:4] in (b"+\0", b"\0+")
    tag, counts, start = ("HHQ8x", "Q", "Q") if wide else ("HHI4x", "H", "I")
    file.seek(8 if wide else 4)
    file.seek(_number(file, order + start))
    count = _number(file, order + counts)
    _count(count)
    layout = struct.Struct(order + tag)
    for _ in range(count):
        entry = file.read(layout.size)
        if len(entry) < layout.size:
            return
        name, kind, values = layout.unpack(entry)
        if kind not in BYTE_TYPES and values > MAX_TAG_VALUES:
            raise RecordsError(
                "a tag of the image has too many values", f"{values} in {name}", MAX_TAG_VALUES
            )


def _number(file: BinaryIO, layout: str) -> int:
    """Read one number; 0 behind the end of the file."""
    size = struct.calcsize(layout)
    data = file.read(size)
    found: int = struct.unpack(layout, data)[0] if len(data) == size else 0
    return min(found, 1 << 40)
