"""The demo's content faces: varied, photographed, and still faces to detector and landmarks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dualstylegan.faces.align import align_face
from dualstylegan.faces.plausible import PlausibleLandmarks
from dualstylegan.io.images import image_to_tensor, quantize
from dualstylegan.networks.mobilestylegan import MobileStyleGAN
from dualstylegan.pretraining.encoder import FIRST_SEED
from dualstylegan.pretraining.photograph import camera
from tasks.base import held_out
from tasks.demo.compose import (
    CONTENT_TRUNCATIONS,
    TRUNCATION,
    Portrait,
    camera_seeds,
    content_facts,
    content_portrait,
    content_seed,
    content_truncation,
    draw_photograph,
    full_size_generator,
)
from tasks.demo.recipes import MAX_TRIES, recipes
from tests.support.settings import shipped

COUNT = shipped().portraits.contents
OCCLUSIONS = {"glasses", "strand", "hat", "hand", "scarf"}


@pytest.fixture(scope="module")
def generator(weights: Path) -> MobileStyleGAN:
    return full_size_generator(weights)


@pytest.fixture(scope="module")
def faces(weights: Path, generator: MobileStyleGAN) -> list[Portrait]:
    """Return the content faces of the shipped settings."""
    return [content_portrait(generator, index, weights) for index in range(COUNT)]


def test_every_face_is_found_and_nearly_every_one_has_plausible_landmarks(
    faces: list[Portrait], weights: Path
) -> None:
    measure, plausible = PlausibleLandmarks(weights), 0
    for face in faces:
        crop = align_face(face.image, 256, weights_dir=weights)
        assert "several_faces" not in crop.flags
        pixels = quantize(image_to_tensor(crop.image))
        plausible += not np.isnan(measure(pixels)).any()
    assert plausible >= COUNT - 1


def test_provenance_tells_how_each_was_made(faces: list[Portrait]) -> None:
    for index, face in enumerate(faces):
        facts = face.provenance
        assert face.name == f"face{index:02d}"
        assert facts["truncation"] == content_truncation(index)
        assert facts["camera_seed"] in camera_seeds(index)
        photograph = draw_photograph(index, facts["camera_seed"])
        assert facts["degradations"] == ", ".join(photograph.names)
        assert facts["origin"] == "generated, photographed"


def test_a_face_is_the_same_every_time(
    faces: list[Portrait], generator: MobileStyleGAN, weights: Path
) -> None:
    again = content_portrait(generator, 1, weights)
    assert again.image.tobytes() == faces[1].image.tobytes()


def test_half_are_untruncated_and_few_are_covered() -> None:
    truncations = [content_truncation(index) for index in range(COUNT)]
    assert sorted(set(truncations)) == sorted(CONTENT_TRUNCATIONS) == [TRUNCATION, 1.0]
    assert truncations.count(1.0) == COUNT // 2
    for tried in range(MAX_TRIES):
        names = [
            set(draw_photograph(index, camera_seeds(index)[tried]).names) for index in range(COUNT)
        ]
        assert sum(bool(one & OCCLUSIONS) for one in names) == 2


def test_seeds_are_nobody_elses() -> None:
    contents = {content_seed(index) + tried for index in range(COUNT) for tried in range(MAX_TRIES)}
    styles = {recipe.seed + tried for recipe in recipes() for tried in range(MAX_TRIES)}
    cameras = {seed for index in range(COUNT) for seed in camera_seeds(index)}
    assert len(contents | styles | cameras) == len(contents) + len(styles) + len(cameras)
    assert max(contents | styles | cameras) < FIRST_SEED < held_out.SEED


def test_other_ranges_of_a_degradation_make_other_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    before = [content_facts(index) for index in range(COUNT)]
    assert before == [content_facts(index) for index in range(COUNT)]
    monkeypatch.setattr(camera, "GAMMA", (0.5, 0.6))
    after = [content_facts(index) for index in range(COUNT)]
    assert all(one != other for one, other in zip(before, after, strict=True))
