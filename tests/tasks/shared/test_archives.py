"""Zip archives of strangers: regular members are taken, others named, damage is a sentence."""

from __future__ import annotations

import io
import random
import stat
import warnings
import zipfile
from pathlib import Path

import pytest

from dualstylegan.errors import DataError
from tasks.shared.archives import MAX_ARCHIVE_FILES, unpack_archive

GOOD = "content/good.jpg"
Member = tuple[str | zipfile.ZipInfo, bytes]
ODD = (
    "/absolute.png",
    "../outside.png",
    "content/../../outside.png",
    "C:/drive.png",
    "content/link.png",
    "content/pipe.png",
    GOOD,
    f"{GOOD}/inside.png",
    f"content/{'x' * 300}.png",
    f"content/{'d/' * 3000}deep.png",
)


def special(name: str, kind: int, data: bytes) -> Member:
    member = zipfile.ZipInfo(name)
    member.create_system, member.external_attr = 3, (kind | 0o666) << 16
    return member, data


def archive(path: Path, *members: Member, way: int = zipfile.ZIP_DEFLATED) -> Path:
    """Write an archive of members, after which one of the name `GOOD` is its first."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(path, "w", way) as file:
            for name, data in ((GOOD, b"good"), *members):
                file.writestr(name, data)
    return path


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_odd_members_are_named_and_the_good_one_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = {"content/link.png": stat.S_IFLNK, "content/pipe.png": stat.S_IFIFO}
    members = [special(name, kinds.get(name, stat.S_IFREG), b"/etc/passwd") for name in ODD]
    odd = archive(tmp_path / "odd.zip", *members, ("content/line\nbreak.png", b"good"))
    unpack_archive(odd, tmp_path / "in" / "out")
    told = capsys.readouterr().out.splitlines()
    assert len(told) == len(ODD)
    for line, name in zip(told, ODD, strict=True):
        assert line.startswith(f"not taken: {odd}: {name[:200]}: ")
    assert files(tmp_path / "in") == ["out/content/good.jpg", "out/content/line\nbreak.png"]
    assert (tmp_path / "in/out" / GOOD).read_bytes() == b"good"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "odd.zip"]


def test_archives_that_are_too_large_are_refused_unread(tmp_path: Path) -> None:
    many = [(f"content/{number}.txt", b"") for number in range(MAX_ARCHIVE_FILES)]
    with pytest.raises(DataError, match="too large"):
        unpack_archive(archive(tmp_path / "many.zip", *many), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_damaged_archives_are_refused_in_a_sentence(tmp_path: Path) -> None:
    ways = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    wholes = [
        archive(tmp_path / "whole.zip", ("Grüße.png", b"text " * 9), way=way).read_bytes()
        for way in ways
    ]
    rng, refusals = random.Random(0), []
    for number in range(400):
        data = bytearray(rng.choice(wholes))
        for _ in range(rng.randrange(1, 5)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        (tmp_path / "damaged.zip").write_bytes(data)
        out = tmp_path / f"out{number}"
        try:
            unpack_archive(tmp_path / "damaged.zip", out)
        except DataError as error:
            refusals.append((error, out))
    assert len(refusals) > 100
    for refused, out in refusals:
        assert refused.problem in ("cannot be unpacked", "the archive is too large")
        assert refused.fix is not None
        assert not out.exists()


def test_a_false_size_does_not_grow(tmp_path: Path) -> None:
    path = archive(tmp_path / "bomb.zip", ("content/zeros.png", bytes(1 << 24)))
    data = bytearray(path.read_bytes())
    at = data.rfind(b"PK\1\2")
    data[at + 24 : at + 28] = (100).to_bytes(4, "little")
    path.write_bytes(io.BytesIO(data).getvalue())
    with pytest.raises(DataError, match="cannot be unpacked"):
        unpack_archive(path, tmp_path / "out")
