"""Atomic files and folders: a reader sees the old content or the new, never half of it.

A process that is killed leaves a hidden temporary file or folder behind. The next write in the same
place removes it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from dualstylegan.errors import DataError, DualStyleGANError, OutputError
from dualstylegan.io.locks import exclusive
from dualstylegan.io.processes import exchange, longest_name, open_folder, try_lock
from dualstylegan.io.temporaries import locked_folder, sibling, sweep, sweep_once, temporary

T = TypeVar("T")

MAX_JSON_BYTES = 64 << 20
MAX_GENERATIONS = 1000
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
READ_FIX = "check the permissions of the file and of its folders"


def _sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk, so that a rename in it survives a power cut."""
    descriptor = open_folder(folder)
    if descriptor is None:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def output_error(error: OSError, path: Path | None = None) -> OutputError:
    """Return an error of the operating system as one that names its file, its cause and a fix.

    Args:
        error: from the operating system.
        path: file or folder that was being written; None takes the one that the error names.
    """
    cause = error.strerror or str(error)
    if path is None and error.errno in (errno.EACCES, errno.EPERM):  # to read it, perhaps
        return OutputError("cannot be used", file=error.filename, value=cause, fix=READ_FIX)
    return OutputError(
        "cannot be used" if path is None else "cannot be written",
        file=error.filename if path is None else path,
        value=cause,
        fix=FIXES.get(error.errno or 0, "check the file and its folder, then try again"),
    )


def system_cause(error: BaseException | None) -> OSError | None:
    """Return the failure of the operating system behind an error, such as those of torch.save."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error


@contextmanager
def _typed(path: Path, making: Path | None = None) -> Iterator[None]:
    """Turn a failure of the operating system to write `path` into an OutputError.

    Args:
        path: what is written.
        making: temporary name of a block that does other things as well: faults that are not
            those of this place stay what they are. None: nothing else is done than to write.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        fault = system_cause(error)
        if fault is None or (making is not None and not _is_of(fault, making)):
            raise
        raise output_error(fault, path) from error


def _is_of(fault: OSError, making: Path) -> bool:
    """Return True for a fault of the place where `making` is written."""
    if fault.errno is not None and fault.errno not in FIXES:
        return False
    named = [name for name in (fault.filename, fault.filename2) if name]  # copies name two
    paths = [Path(name) for name in named if isinstance(name, str | os.PathLike)]
    return not named or any(path.is_relative_to(making) for path in paths)


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
    with _typed(path):
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise OutputError("a device, not a file", file=path, fix="name a file")
        ancestor = next(p for p in path.parents if os.path.lexists(p))
        if len(os.fsencode(path.name)) > longest_name(ancestor):
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        probe = sibling(ancestor / "probe")
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
    with temporary(path) as making:
        with _typed(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            sweep_once(path.parent)
            handle = open(making, "wb")  # noqa: SIM115
        # closing writes what is left, and may fail as well
        with _typed(path, making), handle:
            try_lock(handle)
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        with _typed(path):
            os.replace(making, path)
            _sync_folder(path.parent)


def _swap(new: Path, path: Path) -> None:
    """Give the folder `new` the name `path`; what had it has the name of `new` afterwards.

    In one step where the system can exchange names. Elsewhere a reader may find no folder for a
    moment; the old one has its name again if the second step fails.
    """
    if not os.path.lexists(path):
        os.replace(new, path)
        return
    if exchange(new, path):
        return
    old = sibling(path)
    os.replace(path, old)
    try:
        os.replace(new, path)
    except OSError:
        os.replace(old, path)
        raise
    os.replace(old, new)


@contextmanager
def atomic_directory(path: Path | str) -> Iterator[Path]:
    """Yield an empty folder that replaces the folder `path` once the block ends without error.

    Readers that have the old folder open, see `read_generation`, keep it.

    Raises:
        InUseError: another process is writing the folder.
        OutputError: the folder cannot be written.
    """
    path = Path(os.path.realpath(path)) if os.path.islink(path) else Path(path)
    with ExitStack() as stack:
        with _typed(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(exclusive(path))
            sweep(path.parent)
            making = stack.enter_context(temporary(path))
            making.mkdir()
        try:
            with locked_folder(making), _typed(path, making):
                yield making
        except DualStyleGANError as error:
            error.name_instead(str(making), str(path))
            raise
        with _typed(path):
            _swap(making, path)
            _sync_folder(path.parent)


def read_generation(folder: Path, read: Callable[[Path], T]) -> T:
    """Read a folder that may be replaced meanwhile: all files are those of one generation.

    Args:
        folder: written by `atomic_directory`, or any other.
        read: called with a path of the folder, which is valid during the call alone.

    Returns:
        The value of `read`; errors of `read` name files in `folder`.
    """
    for _ in range(MAX_GENERATIONS):
        try:
            descriptor = open_folder(folder)
        except OSError:
            descriptor = None
        if descriptor is None:
            return read(folder)  # which says why it cannot be read
        try:
            held, same = try_lock(descriptor, shared=True), False
            with suppress(FileNotFoundError):
                before, now = os.fstat(descriptor), os.stat(folder)
                same = (before.st_dev, before.st_ino) == (now.st_dev, now.st_ino)
            if held is False or not same:
                continue
            fixed = Path(f"/proc/self/fd/{descriptor}")
            if not fixed.is_dir():
                return read(folder)
            try:
                return read(fixed)
            except DualStyleGANError as error:
                error.name_instead(str(fixed), str(folder))
                raise
            except OSError as error:
                file = str(error.filename or folder).replace(str(fixed), str(folder))
                raise DataError(
                    "cannot be read", file=file, value=error.strerror or error, fix=READ_FIX
                ) from error
        finally:
            os.close(descriptor)
    raise DataError("replaced again and again", file=folder, fix="wait until it is written")


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield an empty folder among the system's temporary files, removed in the end.

    Raises:
        OutputError: there is no place for it.
    """
    with ExitStack() as stack:
        try:
            place = Path(tempfile.gettempdir())
            sweep_once(place)
            folder = stack.enter_context(temporary(place / "dualstylegan"))
            folder.mkdir(mode=0o700)
            stack.enter_context(locked_folder(folder))
        except OSError as error:
            raise OutputError(
                "no place for temporary files",
                value=error.strerror or error,
                fix="free some space, or set TMPDIR to another folder",
            ) from error
        yield folder


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
        DataError: the file is missing, too large, cannot be read, or is not JSON that can be held.
    """
    try:
        return json.loads(read_limited(path, MAX_JSON_BYTES).decode())
    except DualStyleGANError:
        raise
    except FileNotFoundError as error:
        raise DataError("no such file", file=path, fix="run the stage that makes it") from error
    # beside wrong syntax: lists in lists without end, and integers of thousands of digits
    except (ValueError, RecursionError) as error:
        raise DataError("not valid JSON", file=path, value=error, fix="make it anew") from error
    except OSError as error:
        raise DataError("cannot be read", file=path, value=error.strerror, fix=READ_FIX) from error


def read_limited(path: Path | str, limit: int) -> bytes:
    """Read a regular file of at most `limit` bytes.

    Raises:
        DataError: it is larger, or no regular file, such as a pipe or a device.
        OSError: there is none, or it cannot be read.
    """
    # a pipe without a writer would be waited for
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as handle:
        facts = os.fstat(handle.fileno())
        if not stat.S_ISREG(facts.st_mode):
            raise DataError(
                "not a regular file", file=path, fix="put a copy of the file in its place"
            )
        if facts.st_size > limit:
            raise DataError(
                "the file is too large",
                file=path,
                value=facts.st_size,
                limit=f"{limit} bytes",
                fix="give a file of this kind as it was made",
            )
        return handle.read()


def short_digest(digest: str) -> str:
    """Return the beginning of a digest in hex, by which people and facts name what it is of."""
    return digest[:16]


def sha256_file(path: Path | str) -> str:
    """Return the hex digest of a file's bytes, read in pieces."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
