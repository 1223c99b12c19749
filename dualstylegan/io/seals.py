"""Seals: the SHA-256 of a file inside of the file itself, so that a damaged one is noticed.

A seal is a text field of the file's own format: a marker, then 64 hex digits. They are the SHA-256
of the file with zeros in their place. A table, a training state or a configuration is thus checked
wherever it goes, without a second file that could be lost on the way.
"""

from __future__ import annotations

import hashlib
import mmap
from pathlib import Path

MARKER = "dualstylegan-sha256:"
DIGITS = 64
# Value of the field before the file is sealed.
BLANK = MARKER + "0" * DIGITS
FIELD = rf"^{MARKER}[0-9a-f]{{{DIGITS}}}$"

Content = bytes | memoryview | mmap.mmap


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


def is_whole(path: Path | str) -> bool | None:
    """Return True if a file agrees with its seal, False if not, None if it has no seal.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, "rb") as handle:
        if Path(path).stat().st_size == 0:
            return None
        with mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data:
            found = data.find(MARKER.encode())
            if found < 0:
                return None
            at = found + len(MARKER)
            return data[at : at + DIGITS] == _digest(data, at).encode()


def has_seal(path: Path | str) -> bool:
    """Return True if a file has a seal, whether or not it agrees with it."""
    with (
        open(path, "rb") as handle,
        mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        return data.find(MARKER.encode()) >= 0


def _digest(data: Content, at: int, *rest: memoryview) -> str:
    """Compute the SHA-256 of a file's parts with zeros in the seal at `at` of the first."""
    digest = hashlib.sha256()
    with memoryview(data) as view, view[:at] as before, view[at + DIGITS :] as after:
        digest.update(before)
        digest.update(b"0" * DIGITS)
        digest.update(after)
    for part in rest:
        digest.update(part)
    return digest.hexdigest()
