"""Names of portraits and styles: one rule for file names, registry paths and page anchors.

A name is the text as written wherever that can be a file name on Linux, macOS and Windows, an
artifact path of a registry and an anchor in a page. Any other text is mapped to such a name, and
stays the label that people read.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

from dualstylegan.errors import JOINERS

MAX_NAME_BYTES = 200
DIGEST_LENGTH = 8
REPLACEMENT = "_"
FORBIDDEN = frozenset('/\\:*?"<>|#%')
_SURROGATE = re.compile("[\ud800-\udfff]")
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def safe_name(label: str) -> str:
    """Return the name that stands for a label in paths.

    A label that is a safe name already is returned as it is, in Unicode's composed form (NFC), so
    that the function is idempotent. Any other label keeps what it can and ends in a digest of the
    whole: two labels share a name only if they are canonically equivalent, or if one is written
    like the other's name.

    Args:
        label: any text, such as the stem of a file name.

    Returns:
        At most 200 bytes of UTF-8, never empty.
    """
    composed = unicodedata.normalize("NFC", label)
    kept = "".join(c if _allowed(c) else REPLACEMENT for c in composed).strip(" .")
    if kept == composed and _fits(kept):
        return kept
    digest = hashlib.sha256(composed.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST_LENGTH]
    kept = kept[:MAX_NAME_BYTES]  # a character has a byte at least
    while not _fits(f"{kept}-{digest}") and kept:
        kept = kept[:-1]
    return f"{kept.rstrip(' .') or REPLACEMENT}-{digest}"


def well_formed(text: str) -> str:
    """Return a text as UTF-8 can hold it: bytes of a name that stand for no text as U+FFFD."""
    return _SURROGATE.sub("\ufffd", text)


def _allowed(character: str) -> bool:
    """Return True for characters that are safe in paths everywhere."""
    if character == " " or character in JOINERS:
        return True
    # C: control, format, surrogate, private, unassigned; Z: separators other than the blank.
    return character not in FORBIDDEN and unicodedata.category(character)[0] not in "CZ"


def _fits(name: str) -> bool:
    """Return True for names that are neither empty, too long, nor reserved by Windows."""
    return bool(name) and len(name.encode()) <= MAX_NAME_BYTES and RESERVED.fullmatch(name) is None
