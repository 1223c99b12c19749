"""Zip archives of portraits: regular files are taken, and nothing that their names lead out of."""

from __future__ import annotations

import errno
import shutil
import stat
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from dualstylegan.errors import DataError, one_line
from dualstylegan.io.files import atomic_directory

MAX_ARCHIVE_BYTES = 4 << 30
MAX_ARCHIVE_FILES = 10_000
# Portraits lie in ARCHIVE/SET/style; the rest is told as what is not taken.
MAX_DEPTH = 16
BLOCK_BYTES = 1 << 20
FOREIGN = "__MACOSX"
# What the operating system says of a member's name alone.
OF_NAMES = {
    errno.EEXIST: "another of its name, or of its folder's, came before it",
    errno.EISDIR: "of the name of a folder",
    errno.ENOTDIR: "in a folder of the name of a file",
    errno.ENAMETOOLONG: "its name is too long",
}


def unpack_archive(archive: Path, folder: Path) -> None:
    """Unpack a zip archive into a folder, and print which of its members are not taken, and why.

    Raises:
        DataError: the archive is damaged, encrypted or too large.
        OutputError: no space for it.
    """
    with _opened(archive) as content, atomic_directory(folder) as out:
        members = [one for one in content.infolist() if not one.filename.startswith(FOREIGN)]
        _check_size(archive, members)
        for member in members:
            reason = _not_taken(member) or _unpacked(archive, content, member, out)
            if reason is not None:
                print(f"not taken: {archive}: {one_line(member.filename)[:200]}: {reason}")


def _opened(archive: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(archive)
    except OSError:
        raise
    # Readers of damaged archives raise whatever they stumble over: UnicodeError, struct.error, ...
    except Exception as error:
        raise _damaged(archive, error) from error


def _damaged(archive: Path, error: Exception) -> DataError:
    found = str(error) or type(error).__name__
    return DataError("cannot be unpacked", file=archive, value=found, fix="unpack it by hand")


def _check_size(archive: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    size = sum(member.file_size for member in members)
    free = shutil.disk_usage(archive.parent).free
    limit = min(MAX_ARCHIVE_BYTES, free)
    if size > limit or len(members) > MAX_ARCHIVE_FILES:
        raise DataError(
            "the archive is too large",
            file=archive,
            value=f"{len(members)} files, {size >> 20} MiB",
            limit=f"{MAX_ARCHIVE_FILES} files, {limit >> 20} MiB",
            fix="unpack it and set the set's `source` to the folder",
        )


def _not_taken(member: zipfile.ZipInfo) -> str | None:
    """Return the reason why a member is not unpacked; None if it is."""
    parts = PurePosixPath(member.filename).parts
    if not parts or member.filename.startswith("/") or PureWindowsPath(parts[0]).drive:
        return "no path inside of the archive"
    if ".." in parts:
        return "its path leads out of the archive"
    if len(parts) > MAX_DEPTH:
        return f"in folders more than {MAX_DEPTH} deep"
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):  # 0: of systems that have no such kinds
        return "no file: a link or a device"
    return None


def _unpacked(
    archive: Path, content: zipfile.ZipFile, member: zipfile.ZipInfo, out: Path
) -> str | None:
    """Unpack a member, unless its name stands in the way: return the reason."""
    path = out / member.filename
    try:
        if member.is_dir():
            path.mkdir(parents=True, exist_ok=True)
            return None
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            for block in _blocks(archive, content, member):
                file.write(block)
    except OSError as error:
        if error.errno not in OF_NAMES:
            raise
        return OF_NAMES[error.errno]
    return None


def _blocks(archive: Path, content: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield the content of a member (DataError)."""
    try:
        source: IO[bytes]
        with content.open(member) as source:
            while block := source.read(BLOCK_BYTES):
                yield block
    except Exception as error:  # of zipfile, zlib, lzma, bz2
        raise _damaged(archive, error) from error
