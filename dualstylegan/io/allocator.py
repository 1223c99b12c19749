"""The C library's allocator, told to keep the memory that tensors give back.

A training step frees and asks for the same large tensors again and again. By default glibc hands
each of them back to the kernel, which clears every page anew: up to half of a step's CPU time.
"""

from __future__ import annotations

import ctypes
import sys

# Parameters of glibc's mallopt(3), by their numbers in malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
NEVER, NONE = -1, 0


def keep_freed_memory() -> bool:
    """Keep freed memory in the process until it ends; says whether the C library can (glibc)."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(M_TRIM_THRESHOLD, NEVER) and mallopt(M_MMAP_MAX, NONE))
