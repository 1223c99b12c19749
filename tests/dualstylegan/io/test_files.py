"""Files that cannot be written are told before the work, and leave nothing behind."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from dualstylegan.errors import OutputError
from dualstylegan.io.files import atomic_directory, atomic_write, check_writable, write_bytes

LONGEST = 255  # bytes of a file name


@pytest.mark.parametrize("name", ["x" * LONGEST, "x" * 251 + ".png", "é" * 127, "北" * 85])
def test_the_longest_names_can_be_written(tmp_path: Path, name: str) -> None:
    check_writable(tmp_path / name)
    write_bytes(tmp_path / name, b"content")
    with atomic_directory(tmp_path / "folder" / name) as folder:
        (folder / "a").touch()
    assert (tmp_path / name).read_bytes() == b"content"
    assert [p.name for p in (tmp_path / "folder" / name).iterdir()] == ["a"]
    assert [p.name for p in tmp_path.iterdir() if p.name.endswith(".tmp")] == []


@pytest.mark.parametrize("where", ["too long", "below a file", "a device", "a read-only system"])
def test_a_place_that_cannot_be_written_is_named_before_and_after(
    tmp_path: Path, where: str
) -> None:
    (tmp_path / "file").touch()
    path = {
        "too long": tmp_path / ("x" * (LONGEST + 1)),
        "below a file": tmp_path / "file" / "out.png",
        "a device": Path("/dev/full"),
        "a read-only system": Path("/proc/out.png"),
    }[where]
    with pytest.raises(OutputError, match=path.name[:9]):
        check_writable(path)
    if where != "a device":
        with pytest.raises(OutputError, match="fix"):
            write_bytes(path, b"x")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_checking_leaves_nothing_and_touches_nothing(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "deep" / "out.png")
    assert list(tmp_path.iterdir()) == []
    write_bytes(tmp_path / "out.png", b"old")
    check_writable(tmp_path / "out.png")
    assert (tmp_path / "out.png").read_bytes() == b"old"


def test_too_little_space_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"not enough space.*limit: 1073741824 MiB"):
        check_writable(tmp_path / "out.png", need_bytes=1 << 50)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="you may write to"):
        check_writable(tmp_path / "out.png")


def test_a_full_disk_keeps_the_old_file(tmp_path: Path) -> None:
    write_bytes(tmp_path / "out.png", b"old")
    with (
        pytest.raises(OutputError, match="No space left"),
        atomic_write(tmp_path / "out.png"),
        open("/dev/full", "wb", buffering=0) as full,
    ):
        full.write(b"new")
    assert (tmp_path / "out.png").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_another_fault_in_the_block_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "out.png"):
        (tmp_path / "absent").read_bytes()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_replaced_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fails between the two renames: the old folder has its name again.

    Two renames are needed where the file system cannot exchange names.
    """
    monkeypatch.setattr("dualstylegan.io.files.exchange", lambda one, other: False)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").touch()
    rename, calls = os.replace, []

    def failing(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) == 2:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        rename(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(OutputError, match="check the disk"):  # noqa: SIM117
        with atomic_directory(tmp_path / "model") as folder:
            (folder / "new").touch()
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    assert [p.name for p in (tmp_path / "model").iterdir()] == ["old"]
