"""One writer at a time: the right to write a file or folder, held across processes.

The lock lies on a hidden file beside what is written and ends with its process, however that ends.
The file is removed with the lock; one that a killed process leaves locks nothing.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dualstylegan.errors import InUseError
from dualstylegan.io.processes import try_lock
from dualstylegan.io.stopping import GRACE_SECONDS

# A process that is being stopped holds its lock until it has ended.
PATIENCE_SECONDS = GRACE_SECONDS + 1
WAIT_SECONDS = 0.05
LOCK_SUFFIX = ".dualstylegan.lock"
LONGEST_NAME = 60  # characters of a name that a lock's name repeats


class _Held:
    """Locks that this process holds, by file, and how often each has been taken."""

    guard = threading.Lock()
    counts: dict[Path, int] = {}  # noqa: RUF012


def lock_file(path: Path) -> Path:
    """Return the file whose lock is the right to write `path`."""
    name = path.name
    if len(name) > LONGEST_NAME:
        name = f"{name[: LONGEST_NAME - 20]}.{hashlib.sha256(os.fsencode(name)).hexdigest()[:12]}"
    return Path(os.path.realpath(path.parent)) / f".{name}{LOCK_SUFFIX}"


@contextmanager
def exclusive(path: Path | str, patience: float = PATIENCE_SECONDS) -> Iterator[None]:
    """Hold the right to write `path`; the same process may take it again.

    Without effect where the file system has no locks.

    Args:
        path: file or folder that is going to be written; need not exist.
        patience: seconds to wait for a process that holds it.

    Raises:
        InUseError: names the process that holds it.
        OSError: the file of the lock cannot be made.
    """
    path = Path(path)
    file = lock_file(path)
    descriptor = None
    with _Held.guard:
        if _Held.counts.get(file, 0) == 0:
            file.parent.mkdir(parents=True, exist_ok=True)
            descriptor = _acquire(file, path, patience)
        _Held.counts[file] = _Held.counts.get(file, 0) + 1
    try:
        yield
    finally:
        with _Held.guard:
            _Held.counts[file] -= 1
        if descriptor is not None:
            _release(file, descriptor)


def _acquire(file: Path, path: Path, patience: float) -> int:
    """Return a descriptor of the lock's file, locked."""
    end = time.monotonic() + patience
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            locked = try_lock(descriptor)
            if locked is None or (locked and _is_current(file, descriptor)):
                os.ftruncate(descriptor, 0)
                os.lseek(descriptor, 0, os.SEEK_SET)  # Windows has no pwrite and no pread
                os.write(descriptor, str(os.getpid()).encode())
                return descriptor
            os.lseek(descriptor, 0, os.SEEK_SET)
            holder = os.read(descriptor, 20).decode("ascii", "replace").strip()
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        if not locked and time.monotonic() >= end:
            raise InUseError(
                f"in use by process {holder}" if holder else "in use by another process",
                file=path,
                fix="wait until it has ended, or stop it",
            )
        if not locked:
            time.sleep(WAIT_SECONDS)


def _is_current(file: Path, descriptor: int) -> bool:
    """Return True unless the file was removed, or made anew, since it was opened."""
    try:
        named, opened = os.stat(file), os.fstat(descriptor)
    except FileNotFoundError:
        return False
    return (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)


def _release(file: Path, descriptor: int) -> None:
    """Remove the file of a lock while it is locked, then end the lock."""
    with suppress(OSError):
        file.unlink()
    os.close(descriptor)
