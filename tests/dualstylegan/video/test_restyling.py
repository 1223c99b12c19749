"""Restyled videos: the face changes, all else stays; faults and interruptions leave nothing."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("av", reason="videos need the extra [video]")

from dualstylegan.errors import DataError, FaceError, SettingsError
from dualstylegan.io.images import read_image
from dualstylegan.io.video_reading import Picture, Sound, open_video
from dualstylegan.portrait.model import PortraitModel
from dualstylegan.video.performance import Performance
from dualstylegan.video.restyling import restyle_video
from tests.support.portrait_models import tiny_model
from tests.support.videos import make_video

TIMES = (0, 40, 90, 200, 240)
SIZE = (320, 256)


@pytest.fixture(scope="module")
def model(weights: Path) -> PortraitModel:
    model = tiny_model(resolution=64)
    model.weights_dir = weights
    return model


@pytest.fixture(scope="module")
def frames(weights: Path) -> list[Image.Image]:
    """Return a face that moves, and a last frame without one."""
    photo = read_image(weights / "astronaut.png")
    moving = [
        photo.transform(SIZE, Image.Transform.AFFINE, (1, 0, 64 + 2 * i, 0, 1, 0), 2)
        for i in range(4)
    ]
    return [*moving, Image.new("RGB", SIZE, (30, 90, 120))]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, frames: list[Image.Image]) -> Path:
    path = tmp_path_factory.mktemp("videos") / "in.mp4"
    return make_video(path, frames, TIMES, sound="aac")


def read(path: Path) -> tuple[list[Picture], list[bytes]]:
    with open_video(path) as reader:
        parts = list(reader.parts())
    sounds = [bytes(part.packet) for part in parts if isinstance(part, Sound)]
    return [part for part in parts if isinstance(part, Picture)], sounds


def change(a: Image.Image, b: Image.Image, box: tuple[int, int, int, int]) -> float:
    parts = [np.asarray(image.crop(box), float) for image in (a, b)]
    return float(np.abs(parts[0] - parts[1]).mean())


def test_the_face_changes_and_all_else_stays(
    model: PortraitModel, source: Path, tmp_path: Path
) -> None:
    seen: list[tuple[int, int | None]] = []
    done = restyle_video(
        model,
        source,
        tmp_path / "out.mp4",
        "stone",
        size=64,
        progress=lambda *state: seen.append(state),
    )
    assert (done.frames, done.restyled, done.tracks) == (5, 4, 1)
    assert seen == [(i, 5) for i in range(1, 6)]
    before, after = read(source), read(tmp_path / "out.mp4")
    assert np.allclose([p.seconds for p in after[0]], np.array(TIMES) / 1000)
    assert after[1] == before[1]
    for i, (one, other) in enumerate(zip(before[0], after[0], strict=True)):
        face = (140 - 2 * i, 80, 180 - 2 * i, 150)
        assert (change(one.image, other.image, face) > 10) is (i < 4)
        assert change(one.image, other.image, (0, 200, 60, 256)) < 3
    assert b"dualstylegan:model_digest" in (tmp_path / "out.mp4").read_bytes()


def test_the_crop_alone_leaves_frames_without_a_face_out(
    model: PortraitModel, source: Path, tmp_path: Path
) -> None:
    for name in ("one.mp4", "two.mp4"):
        restyle_video(model, source, tmp_path / name, {"stone": 1.0}, size=64, crop=True)
    pictures, sounds = read(tmp_path / "one.mp4")
    assert [round(1000 * p.seconds) for p in pictures] == list(TIMES[:4])
    assert {p.image.size for p in pictures} == {(64, 64)}
    assert sounds == read(source)[1]
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()


def test_a_restyled_background_changes_the_whole_frame(
    model: PortraitModel, source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.mp4"
    restyle_video(model, source, out, "stone", size=64, background="style")
    before, after = read(source)[0], read(out)[0]
    assert change(before[0].image, after[0].image, (0, 200, 60, 256)) > 5
    assert change(before[4].image, after[4].image, (0, 200, 60, 256)) < 3
    assert b'"dualstylegan:background": "style"' in out.read_bytes()


def test_a_still_face_has_the_code_of_the_fit(
    model: PortraitModel, frames: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An untrained encoder answers every face alike; this one answers to brightness."""
    base = model.styles.intrinsic_SLD[:1]
    monkeypatch.setattr(model, "encode", lambda x: base * (1 + x.mean((1, 2, 3))[:, None, None]))
    face = frames[0].crop((90, 20, 250, 180))
    performance = Performance(model, face, None)
    codes = [performance.code(face, None, i / 25) for i in range(3)]
    assert all(np.allclose(code, performance.fit.code_LD, atol=1e-5) for code in codes)
    moved = performance.code(face.point(lambda level: level // 3), None, 0.2)
    rows = model.generator.structure_rows
    assert not torch.allclose(moved[:rows], codes[0][:rows], atol=1e-2)
    assert torch.allclose(moved[rows:], codes[0][rows:], atol=1e-5)
    assert torch.allclose(moved.square().mean(1), torch.ones(len(moved)), atol=1e-4)


def test_faults_leave_no_file(model: PortraitModel, source: Path, tmp_path: Path) -> None:
    empty = make_video(tmp_path / "empty.mp4", [Image.new("RGB", SIZE, (30, 90, 120))] * 2)
    with pytest.raises(FaceError, match="no face in any frame") as caught:
        restyle_video(model, empty, tmp_path / "out.mp4", "stone", size=64)
    assert caught.value.file == str(empty)
    with pytest.raises(SettingsError, match="unknown style"):
        restyle_video(model, source, tmp_path / "out.mp4", "nobody")
    with pytest.raises(DataError, match="not a format for videos"):
        restyle_video(model, source, tmp_path / "out.png", "stone")

    def interrupt(done: int, _: int | None) -> None:
        if done == 2:
            raise KeyboardInterrupt

    threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        restyle_video(model, source, tmp_path / "out.mp4", "stone", size=64, progress=interrupt)
    assert threading.active_count() == threads
    assert [path.name for path in tmp_path.iterdir()] == ["empty.mp4"]
