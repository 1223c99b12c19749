"""Videos as files: timestamps, sound, rotation and colours survive; faults are told."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

pytest.importorskip("av", reason="videos need the extra [video]")

from dualstylegan.errors import DataError, OutputError
from dualstylegan.io.video_reading import Picture, Sound, open_video
from dualstylegan.io.video_writing import create_video
from tests.support.videos import make_video

TIMES = (0, 40, 80, 200, 360, 400, 1000)


def picture(step: int = 0, size: tuple[int, int] = (96, 64)) -> Image.Image:
    """Return an image with a red upper and a green left edge, and a square that moves."""
    image = Image.new("RGB", size, (40, 60, 90))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, size[0], 11), (220, 30, 30))
    draw.rectangle((0, 12, 11, size[1]), (30, 200, 40))
    draw.rectangle((30 + 4 * step, 30, 45 + 4 * step, 45), (230, 220, 60))
    return image


def read(path: Path) -> tuple[list[Picture], list[bytes]]:
    """Return the pictures and the bytes of the packets of sound."""
    with open_video(path) as reader:
        parts = list(reader.parts())
    sounds = [bytes(part.packet) for part in parts if isinstance(part, Sound)]
    return [part for part in parts if isinstance(part, Picture)], sounds


def copy(source: Path, output: Path) -> None:
    """Read a video and write it again."""
    with (
        open_video(source) as reader,
        create_video(
            output,
            reader.size,
            rate=reader.rate,
            time_base=reader.time_base,
            sounds=reader.sounds,
            matrix=reader.matrix,
            facts={"made": "by hand"},
        ) as writer,
    ):
        for part in reader.parts():
            if isinstance(part, Sound):
                writer.copy(part)
            else:
                writer.write(part.image, part.pts)


def difference(a: Image.Image, b: Image.Image) -> float:
    return float(np.abs(np.asarray(a, float) - np.asarray(b, float)).mean())


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_times_sound_and_colours_survive(tmp_path: Path, suffix: str) -> None:
    source = make_video(
        tmp_path / f"in{suffix}", [picture(i) for i in range(len(TIMES))], TIMES, sound="aac"
    )
    copy(source, tmp_path / f"out{suffix}")
    before, after = read(source), read(tmp_path / f"out{suffix}")
    assert [round(1000 * p.seconds) for p in after[0]] == [
        round(1000 * p.seconds) for p in before[0]
    ]
    gaps = np.diff([p.seconds for p in after[0]])
    assert np.allclose(gaps, np.diff(TIMES) / 1000)
    assert len(before[1]) > 3
    assert after[1] == before[1]
    for i, (one, other) in enumerate(zip(before[0], after[0], strict=True)):
        assert difference(one.image, other.image) < 4  # halved chroma of sharp edges
        assert difference(one.image, picture(i)) < 5
    assert b"by hand" in (tmp_path / f"out{suffix}").read_bytes()


def test_the_same_video_gives_the_same_bytes(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", [picture(i) for i in range(4)])
    copy(source, tmp_path / "a.mp4")
    copy(source, tmp_path / "b.mp4")
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_turned_videos_are_read_upright(tmp_path: Path, degrees: int) -> None:
    """A phone stores turned frames, with the turn that players make."""
    turned = picture().rotate(-degrees, expand=True)
    source = make_video(tmp_path / "in.mp4", [turned, turned], turned=degrees)
    with open_video(source) as reader:
        assert reader.size == picture().size
    assert difference(read(source)[0][0].image, picture()) < 5


def test_odd_sides_lose_a_row(tmp_path: Path) -> None:
    with create_video(tmp_path / "odd.mp4", (95, 63), rate=Fraction(25)) as writer:
        writer.write(picture(size=(95, 63)), 0)
    with open_video(tmp_path / "odd.mp4") as reader:
        assert reader.size == (94, 62)


def test_faults_of_a_file_are_told(tmp_path: Path) -> None:
    good = make_video(tmp_path / "good.mp4", [picture(i) for i in range(4)])
    (tmp_path / "text.mp4").write_text("hello world " * 100)
    (tmp_path / "cut.mp4").write_bytes(good.read_bytes()[:700])
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "list.m3u8").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:3.0,\n{good}\n#EXT-X-ENDLIST\n"
    )
    for name in ("text.mp4", "cut.mp4", "empty.mp4", "missing.mp4", ""):
        with pytest.raises(DataError, match="cannot be read as a video") as caught:
            read(tmp_path / name)
        assert caught.value.file == str(tmp_path / name)
    with pytest.raises(DataError, match="refers to another file"):
        read(tmp_path / "list.m3u8")


def test_a_picture_that_is_too_small_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="sides of 32 to"):
        read(make_video(tmp_path / "small.mp4", [picture(size=(16, 16))]))


def test_what_cannot_be_written_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mkv", [picture()] * 2, sound="wavpack")
    with pytest.raises(DataError, match=r"name the result \.mkv"):
        copy(source, tmp_path / "out.mp4")
    with pytest.raises(DataError, match="not a format for videos"):
        copy(source, tmp_path / "out.gif")
    with pytest.raises(OutputError, match="cannot be written"):
        copy(source, Path("/proc/none/out.mkv"))
    assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"]
