"""Folders of strangers: what is no picture is named and passed over, and nothing is waited for."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from dualstylegan.errors import ImageError
from dualstylegan.io.images import read_image, scan_images
from tasks.portraits import user_items
from tests.reliability.strange_pictures import picture, saved

ODD = ("folder.png", "loop.png", "nowhere.png", "pipe.png", "zero.png", "socket.png")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="pipes and devices of Unix")


def _strange_folder(folder: Path) -> None:
    (folder / "folder.png").mkdir(parents=True)
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "nowhere.png").symlink_to("absent.png")
    (folder / "zero.png").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.png")
    here = Path.cwd()
    os.chdir(folder)  # names of sockets are short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.png")
    os.chdir(here)


def test_entries_that_are_no_files_are_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "content"
    _strange_folder(folder)
    (folder / "good.png").write_bytes(saved(picture("RGB"), "PNG"))
    assert [item.name for item in user_items("content", folder)] == ["good"]
    told = capsys.readouterr().out
    assert all(f"{name}: " in told for name in ODD)
    assert {path.name for path, _ in scan_images(folder).skipped} == set(ODD)
    for name in ODD:
        with pytest.raises(ImageError):
            read_image(folder / name)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="names of any bytes, /proc")
def test_names_and_files_of_any_kind_are_read_or_refused(tmp_path: Path) -> None:
    data = saved(picture("RGB"), "PNG")
    for raw in (b"bad\xff\xfe.png", b"line\nbreak.png"):
        with open(os.fsencode(tmp_path) + b"/" + raw, "wb") as handle:
            handle.write(data)
    assert len(scan_images(tmp_path).paths) == 2
    assert all(read_image(path).size for path in scan_images(tmp_path).paths)
    for name, target in (("log.png", "/proc/kmsg"), ("memory.png", "/proc/self/mem")):
        folder = tmp_path / name.removesuffix(".png")
        folder.mkdir()
        (folder / name).symlink_to(target)
        with pytest.raises(ImageError, match="an empty file"):
            user_items("content", folder)
    (folder / "memory.png").unlink()
    with (folder / "holes.png").open("wb") as handle:
        handle.truncate(6 << 30)
    with pytest.raises(ImageError, match="too large"):
        user_items("content", folder)
