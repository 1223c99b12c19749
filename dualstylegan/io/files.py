"""Atomic files and folders: a reader sees the old content or the new, never half of it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from dualstylegan.errors import DataError, OutputError

CHUNK_BYTES = 1 << 20
NAME_START = 40
# Faults of the place that is written to; any other OSError in a block is somebody else's.
FIXES = {
    errno.EACCES: "name a folder that you may write to",
    errno.EPERM: "name a folder that you may write to",
    errno.EROFS: "name a folder that can be written to",
    errno.ENOSPC: "free some space, or name another place",
    errno.EDQUOT: "free some space, or name another place",
    errno.EFBIG: "name a place on another file system",
    errno.EIO: "check the disk, or name another place",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ENOTDIR: "name a path whose folders are folders",
    errno.EEXIST: "name a path whose folders are folders",
    errno.EISDIR: "name a file, not a folder",
    errno.ENOTEMPTY: "name another folder",
}


def _sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk, so that a rename in it survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sibling(path: Path) -> Path:
    """Return a hidden name beside `path`, on the same file system so that renaming is atomic.

    Only the start of the name is taken: the whole may be as long as a file name can be.
    """
    return path.with_name(f".{path.name[:NAME_START]}.{uuid.uuid4().hex[:12]}.tmp")


@contextmanager
def _typed(path: Path, anything: bool = False) -> Iterator[None]:
    """Turn a failure of the operating system to write `path` into an OutputError.

    Args:
        anything: every OSError counts, where nothing else is done than to write.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FIXES and not anything:
            raise
        raise OutputError(
            "cannot be written",
            file=path,
            value=error.strerror,
            fix=FIXES.get(error.errno or 0, "name another place"),
        ) from error


def check_writable(path: Path | str, need_bytes: int = 0) -> None:
    """Check, before long work, that a file or folder can be written at `path`.

    A temporary file is created and removed again in the folder, or in the nearest one that exists.

    Args:
        path: where the result will go; may exist.
        need_bytes: free space that the result needs.

    Raises:
        OutputError: names the reason and what to do about it.
    """
    path = Path(path).absolute()
    with _typed(path, anything=True):
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise OutputError("a device, not a file", file=path, fix="name a file")
        ancestor = next(p for p in path.parents if os.path.lexists(p))
        if len(os.fsencode(path.name)) > os.pathconf(ancestor, "PC_NAME_MAX"):
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        probe = ancestor / f".{uuid.uuid4().hex[:12]}.tmp"
        try:
            probe.touch()
        finally:
            with suppress(OSError):
                probe.unlink(missing_ok=True)
    free = shutil.disk_usage(ancestor).free
    if free < need_bytes:
        raise OutputError(
            "not enough space",
            file=path,
            value=f"{free >> 20} MiB free",
            limit=f"{need_bytes >> 20} MiB",
            fix="free some space, or name another place",
        )


@contextmanager
def atomic_write(path: Path | str) -> Iterator[BinaryIO]:
    """Open a temporary file that takes the name `path` once the block ends without an error.

    Raises:
        OutputError: the file cannot be written.
    """
    path = Path(path)
    temporary = _sibling(path)
    try:
        with _typed(path, anything=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = open(temporary, "wb")  # noqa: SIM115
        with _typed(path):
            with handle:
                yield handle
                handle.flush()
                os.fsync(handle.fileno())
            os.replace(temporary, path)
            _sync_folder(path.parent)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _swap(new: Path, path: Path) -> None:
    """Give the folder `new` the name `path`; what had it is removed, or back if that fails."""
    if not path.exists():
        os.replace(new, path)
        return
    old = _sibling(path)
    os.replace(path, old)
    try:
        os.replace(new, path)
    except OSError:
        os.replace(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def atomic_directory(path: Path | str) -> Iterator[Path]:
    """Yield an empty folder that replaces the folder `path` once the block ends without error.

    Raises:
        OutputError: the folder cannot be written.
    """
    path = Path(path)
    temporary = _sibling(path)
    try:
        with _typed(path, anything=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.mkdir()
        with _typed(path):
            yield temporary
            _swap(temporary, path)
            _sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with atomic_write(path) as handle:
        handle.write(data)


def write_text(path: Path | str, text: str) -> None:
    """Write UTF-8 `text` to `path` atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as sorted, indented JSON, atomically: same value, same bytes."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path | str) -> Any:
    """Read a JSON file.

    Raises:
        DataError: the file is missing or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError as error:
        raise DataError("no such file", file=path, fix="run the stage that makes it") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError("not valid JSON", file=path, value=error, fix="make it anew") from error


def short_digest(digest: str) -> str:
    """Return the beginning of a digest in hex, by which people and facts name what it is of."""
    return digest[:16]


def sha256_file(path: Path | str) -> str:
    """Return the hex digest of a file's bytes, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while chunk := handle.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
