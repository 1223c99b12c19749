"""The C library's allocator, told which memory that is given back it is to keep.

A training step frees and asks for the same large tensors again and again, and so does a rendering.
By default glibc hands each of them back to the kernel, which clears every page anew: up to half of
a step's CPU time. Large photos, which a server is sent now and then, are handed back instead.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Parameters of glibc's mallopt(3), by their numbers in malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
NEVER, NONE = -1, 0
# Of glibc itself: blocks that lie apart at a time.
USUAL_BLOCKS = 65_536
# Blocks of so many bytes and more lie apart, each to be handed back: Pillow's have 16 MiB.
LARGE_BYTES = 8 << 20


class _State:
    """State of this process: whether freed memory is kept, and who has it handed back."""

    kept = False
    handing_back = 0
    lock = threading.Lock()


def _of_glibc(name: str) -> Callable[..., int] | None:
    if not sys.platform.startswith("linux"):
        return None
    found: Callable[..., int] | None = getattr(ctypes.CDLL(None), name, None)
    return found


def keep_freed_memory() -> bool:
    """Keep freed memory in the process until it ends; says whether the C library can (glibc)."""
    mallopt = _of_glibc("mallopt")
    if mallopt is None:
        return False
    _State.kept = bool(mallopt(M_TRIM_THRESHOLD, NEVER) and mallopt(M_MMAP_MAX, NONE))
    return _State.kept


@contextmanager
def handing_back() -> Iterator[None]:
    """Hand memory that is freed by the end of this block back to the kernel.

    Large memory that is taken in it goes back at once when it is freed, where it does not fill a
    gap. Blocks of several threads may overlap. Nothing is changed where `keep_freed_memory` has
    not been called.
    """
    _enter(1)
    try:
        yield
    finally:
        _enter(-1)


def _enter(change: int) -> None:
    with _State.lock:
        before = _State.handing_back
        _State.handing_back = after = before + change
        mallopt, trim = _of_glibc("mallopt"), _of_glibc("malloc_trim")
        if not _State.kept or mallopt is None or trim is None:
            return
        if not before:
            mallopt(M_TRIM_THRESHOLD, LARGE_BYTES)
            mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
            mallopt(M_MMAP_MAX, USUAL_BLOCKS)
        elif not after:
            mallopt(M_TRIM_THRESHOLD, NEVER)
            mallopt(M_MMAP_MAX, NONE)
        trim(0)
