"""Tracking: a moving face keeps its track, a cut begins another, jitter is low."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dualstylegan.faces.align import align_face
from dualstylegan.faces.geometry import quad_side
from dualstylegan.io.images import read_image
from dualstylegan.video.cuts import CutDetector
from dualstylegan.video.tracking import DETECT_EVERY, FaceTracker, TrackedFace

SIZE = (320, 288)


@pytest.fixture(scope="module")
def photo(weights: Path) -> Image.Image:
    return read_image(weights / "astronaut.png")


def shifted(photo: Image.Image, x: float, y: float) -> Image.Image:
    """Return the part of a photo whose upper left corner is at a point."""
    return photo.transform(SIZE, Image.Transform.AFFINE, (1, 0, x, 0, 1, y), 2)


def noisy(image: Image.Image, seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).normal(0, 4, (*image.size[::-1], 1))
    return Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))


def follow(weights: Path, frames: list[Image.Image]) -> list[TrackedFace | None]:
    tracker = FaceTracker(weights)
    return [tracker.follow(frame, i / 25) for i, frame in enumerate(frames)]


def test_a_moving_face_keeps_its_track_and_its_crop(weights: Path, photo: Image.Image) -> None:
    quad = align_face(photo, 64, weights_dir=weights).quad
    offsets = [(60 + 2.5 * i, 10 + 8 * np.sin(i / 4)) for i in range(2 * DETECT_EVERY + 2)]
    found = follow(weights, [shifted(photo, *offset) for offset in offsets])
    for face, offset in zip(found, offsets, strict=True):
        assert face is not None
        assert face.track == 0
        assert np.abs(face.quad_Q2 + offset - quad).max() < 0.06 * quad_side(quad)


def test_a_still_face_has_a_still_crop(weights: Path, photo: Image.Image) -> None:
    found = follow(weights, [noisy(shifted(photo, 70, 0), i) for i in range(12)])
    quads = np.stack([face.quad_Q2 for face in found if face is not None])
    assert len(quads) == 12
    jitter = np.abs(np.diff(quads, axis=0)).mean() / quad_side(quads[0])
    assert jitter < 0.004  # a pixel of a crop of 256


def test_cuts_and_gaps_begin_a_new_track(weights: Path, photo: Image.Image) -> None:
    other = read_image(weights / "grace_hopper.jpg").convert("RGB").resize(SIZE)
    empty = shifted(photo, 300, 300)
    shots = [shifted(photo, 70, 0)] * 2 + [other] * 2 + [empty] * 2 + [shifted(photo, 70, 0)] * 2
    tracks = [None if face is None else face.track for face in follow(weights, shots)]
    assert tracks == [0, 0, 1, 1, None, None, 2, 2]


def test_a_face_beside_the_tracked_one_is_another(weights: Path, photo: Image.Image) -> None:
    """Without a cut of colours: the same scene, in which the face stands somewhere else."""
    before, after = (Image.new("RGB", (640, 288), (90, 80, 70)) for _ in range(2))
    before.paste(shifted(photo, 100, 0), (0, 0))
    after.paste(shifted(photo, 100, 0), (320, 0))
    found = follow(weights, [before, before, after, after])
    assert [face.track for face in found if face is not None] == [0, 0, 1, 1]


def test_motion_is_no_cut(photo: Image.Image) -> None:
    cuts = CutDetector()
    frames = [shifted(photo, 10 * i, 6 * i) for i in range(8)]
    assert [cuts(frame).cut for frame in frames] == [True, *[False] * 7]
    brighter = frames[-1].point(lambda level: min(255, round(1.3 * level)))
    assert not cuts(brighter).cut
