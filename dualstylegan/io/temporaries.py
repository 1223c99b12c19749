"""Temporary files and folders beside what is written, and the removal of what the dead have left.

A temporary name holds the number of its process, and the process holds a lock on what has the name:
by both, the next write in the same place tells what a killed process has left.
"""

from __future__ import annotations

import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dualstylegan.io.locks import LOCK_SUFFIX
from dualstylegan.io.processes import is_alive, open_folder, try_lock

NAME_START = 40
TEMPORARY = re.compile(r"\..*?(?:\.(\d+))?\.[0-9a-f]{12}\.tmp")
STALE_SECONDS = 3600.0


class _Own:
    """Temporary files and folders that this process is writing, and folders it has swept."""

    temporaries: set[Path] = set()  # noqa: RUF012
    swept: set[Path] = set()  # noqa: RUF012


def sibling(path: Path) -> Path:
    """Return a hidden name beside `path`, on the same file system so that renaming is atomic.

    Only the start of the name is taken: the whole may be as long as a file name can be.
    """
    name = f".{path.name[:NAME_START]}.{os.getpid()}.{uuid.uuid4().hex[:12]}.tmp"
    return Path(os.path.abspath(path.parent)) / name


@contextmanager
def temporary(path: Path) -> Iterator[Path]:
    """Yield a temporary name for `path`, and remove what has it in the end."""
    name = sibling(path)
    _Own.temporaries.add(name)
    try:
        yield name
    finally:
        _Own.temporaries.discard(name)
        _remove_unread(name)


def remove(path: Path) -> None:
    """Remove a file or folder as far as that is possible."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _is_leftover(path: Path) -> bool:
    """Return True for what a dead process of the same user has left: unlocked, and not being made.

    Numbers of processes are given again: after STALE_SECONDS the lock alone decides.
    """
    match = TEMPORARY.fullmatch(path.name)
    if path in _Own.temporaries or (match is None and not path.name.endswith(LOCK_SUFFIX)):
        return False
    facts = path.lstat()
    if hasattr(os, "geteuid") and facts.st_uid != os.geteuid():
        return False
    fresh = time.time() - facts.st_mtime < STALE_SECONDS
    pid = int(match[1] or 0) if match else 0
    if fresh and pid != os.getpid() and (is_alive(pid) if pid else True):
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return os.name == "nt"
    try:
        return try_lock(descriptor) is not False
    finally:
        os.close(descriptor)


def sweep(folder: Path) -> None:
    """Remove the temporary files and folders that killed processes have left in a folder."""
    with suppress(OSError):
        for entry in list(os.scandir(folder)):
            if entry.name.startswith("."):
                path = Path(os.path.abspath(folder)) / entry.name
                with suppress(OSError):
                    if _is_leftover(path):
                        remove(path)


def sweep_once(folder: Path) -> None:
    """Sweep a folder on the first write of this process there: a cache has thousands of entries."""
    folder = Path(os.path.abspath(folder))
    if folder not in _Own.swept:
        _Own.swept.add(folder)
        sweep(folder)


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder that is being made."""
    descriptor = open_folder(folder)
    try:
        if descriptor is not None:
            try_lock(descriptor)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _remove_unread(path: Path) -> None:
    """Remove a folder that was replaced, unless a reader holds it: then the next write does."""
    descriptor = None
    with suppress(OSError):
        descriptor = open_folder(path)
    try:
        if descriptor is None or try_lock(descriptor) is not False:
            remove(path)
    finally:
        if descriptor is not None:
            os.close(descriptor)
