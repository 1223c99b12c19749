"""Seals: the SHA-256 of a file inside of the file itself, so that a damaged one is noticed.

A seal is a text field of the file's own format: a marker, then 64 hex digits. They are the SHA-256
of the file with zeros in their place. A table, a training state or a configuration is thus checked
wherever it goes, without a second file that could be lost on the way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

MARKER = "dualstylegan-sha256:"
DIGITS = 64
# Value of the field before the file is sealed.
BLANK = MARKER + "0" * DIGITS
FIELD = rf"^{MARKER}[0-9a-f]{{{DIGITS}}}$"

BLOCK_BYTES = 1 << 20


def sealed(data: bytes, *rest: memoryview) -> bytes:
    """Return a file's bytes with their digest in the one blank seal among them.

    Args:
        data: the bytes, or the first of them, with the blank seal.
        rest: the further bytes, which the digest covers and which are not returned.

    Raises:
        ValueError: there is no blank seal, or there are several.
    """
    if data.count(BLANK.encode()) != 1:
        raise ValueError("the file has no blank seal, or more than one")
    at = data.index(BLANK.encode()) + len(MARKER)
    return data[:at] + _digest(data, at, *rest).encode() + data[at + DIGITS :]


def is_whole(path: Path | str, within: int | None = None) -> bool | None:
    """Return True if a file agrees with its seal, False if not, None if it has no seal.

    The file is read in blocks, so that a large one takes no memory.

    Args:
        path: of the file.
        within: length of the part, from its start, that can have a seal; None: all of it.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, "rb") as handle:
        at = _find(handle, within)
        if at is None:
            return None
        digest = hashlib.sha256()
        handle.seek(0)
        for block in _blocks(handle, at):
            digest.update(block)
        found = handle.read(DIGITS)
        digest.update(b"0" * DIGITS)
        for block in _blocks(handle, None):
            digest.update(block)
        return found == digest.hexdigest().encode()


def has_seal(path: Path | str, within: int | None = None) -> bool:
    """Return True if a file has a seal, whether or not it agrees with it; see `is_whole`."""
    with open(path, "rb") as handle:
        return _find(handle, within) is not None


def _find(handle: BinaryIO, within: int | None) -> int | None:
    """Return the place of the digits of a file's first seal, None if there is none."""
    marker, end, start = MARKER.encode(), b"", 0
    for block in _blocks(handle, within):
        part = end + block
        found = part.find(marker)
        if found >= 0:
            return start + found + len(marker)
        end = part[1 - len(marker) :]
        start += len(part) - len(end)
    return None


def _blocks(handle: BinaryIO, length: int | None) -> Iterator[bytes]:
    """Read up to `length` bytes, or all that is left, in blocks."""
    left = length
    while block := handle.read(BLOCK_BYTES if left is None else min(BLOCK_BYTES, left)):
        yield block
        if left is not None:
            left -= len(block)


def _digest(data: bytes, at: int, *rest: memoryview) -> str:
    """Compute the SHA-256 of a file's parts with zeros in the seal at `at` of the first."""
    digest = hashlib.sha256()
    with memoryview(data) as view, view[:at] as before, view[at + DIGITS :] as after:
        digest.update(before)
        digest.update(b"0" * DIGITS)
        digest.update(after)
    for part in rest:
        digest.update(part)
    return digest.hexdigest()
