"""Folders of strangers: what is no picture is named and passed over, and nothing is waited for."""

from __future__ import annotations

import errno
import os
import socket
import sys
from pathlib import Path

import pytest

from dualstylegan.errors import ImageError
from dualstylegan.io.images import read_image, scan_images
from tasks.portraits import user_items, write_portraits
from tasks.shared.dataframes import read_dataframe
from tasks.shared.paths import Paths
from tests.reliability.strange_pictures import picture, saved
from tests.support.command import run
from tests.support.portrait_models import tiny_model, with_sampler

ODD = ("folder.png", "loop.png", "nowhere.png", "pipe.png", "zero.png", "around", "socket.png")
# Names of bytes that are no text, a character that no text has, an escape, an end of a line, a
# mark that turns letters around, and as long as a file system takes.
NAMES = (
    b"bad\xff\xfe.png",
    "\udc80.png".encode("utf-8", "surrogatepass"),
    b"\x1b[31mred.png",
    b"line\nbreak.png",
    "right\u202egnp.jpg".encode(),
    b"x" * 251 + b".png",
    b"-o.png",
)
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="names of any bytes, /proc")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="pipes and devices of Unix")


def _strange_folder(folder: Path) -> None:
    (folder / "folder.png").mkdir(parents=True)
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "nowhere.png").symlink_to("absent.png")
    (folder / "zero.png").symlink_to("/dev/zero")
    (folder / "around").symlink_to(".")
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


def _named(folder: Path, name: bytes, data: bytes) -> None:
    with open(os.path.join(os.fsencode(folder), name), "wb") as handle:
        handle.write(data)


@LINUX
def test_names_and_files_of_any_kind_are_read_or_refused(tmp_path: Path) -> None:
    for raw in NAMES:
        _named(tmp_path, raw, saved(picture("RGB"), "PNG"))
    assert len(scan_images(tmp_path).paths) == len(NAMES)
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


@LINUX
def test_a_folder_is_restyled_beside_whatever_lies_in_it(tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    _strange_folder(photos)
    good = saved(picture("RGB"), "PNG")
    for raw in (*NAMES, b"good.png"):
        _named(photos, raw, good)
    (photos / "empty.png").touch()
    (photos / "text.png").write_text("no picture")
    os.mkfifo(photos / "pi\npe.png")
    with_sampler(tiny_model(resolution=256)).save_pretrained(tmp_path / "model")
    asked = ("transfer", photos, "-m", tmp_path / "model", "--style", "stone", "-o", out)
    done = run(*asked, "--no-align", "--fit-steps", 0)
    assert done.status == 1
    told = done.stderr.splitlines()
    for name in (*ODD, "empty.png", "text.png", r"pi\npe.png"):
        assert sum(f"{photos}/{name}: " in line for line in told) == 1, name
    assert f"{len(NAMES) + 3} photos: {len(NAMES) + 1} made, 0 kept, 2 failed" in told[-1]
    assert (out / "good_stone.png").is_file()
    assert len(list(out.glob("*.png"))) == len(NAMES) + 1
    assert "\x1b" not in done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == len(NAMES) + 1


def test_commands_for_one_file_refuse_what_is_none(tmp_path: Path) -> None:
    _strange_folder(tmp_path)
    tiny_model(resolution=256).save_pretrained(tmp_path / "model")
    out = tmp_path / "new"
    style = ("-m", tmp_path / "model", "--style", "stone", "-o")
    for name in ("", *ODD, "absent.png", "x" * 300):
        for asked in (
            ("add-style", tmp_path / name, "-m", tmp_path / "model", "--name", "mine", "-o", out),
            ("transfer", tmp_path / name, *style, f"{out}.png"),
            ("film", tmp_path / name, *style, f"{out}.webp"),
            ("video", tmp_path / name, *style, f"{out}.mp4"),
        ):
            done = run(*asked)
            assert done.status == 2, (name, asked[0])
            assert len(done.stderr.splitlines()) == 1
            assert "; fix: " in done.stderr
            folder = "a folder, not a" in done.stderr
            assert folder == (name in ("", "folder.png", "around")), done.stderr
    assert not list(tmp_path.glob("new*"))


@LINUX
def test_portraits_of_any_name_are_written_with_a_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    _strange_folder(tmp_path / "content")
    os.mkfifo(os.fsencode(tmp_path / "content") + b"/pipe\xff\n.png")
    for raw in NAMES:
        _named(tmp_path / "content", raw, saved(picture("RGB"), "PNG"))
    write_portraits(user_items("content", Path("content")))
    assert r"content/pipe\udcff\n.png: " in capsys.readouterr().out
    table = read_dataframe(Paths.portraits_record)
    assert len(table) == len(set(table["name"])) == len(NAMES)
    assert {"bad\ufffd\ufffd", "line\nbreak"} < set(table["label"])


def test_a_file_without_permission_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, mode: str) -> None:  # the superuser reads all files
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    (tmp_path / "locked.png").write_bytes(saved(picture("RGB"), "PNG"))
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ImageError, match="cannot be read; found: Permission denied; fix: check"):
        read_image(tmp_path / "locked.png")
