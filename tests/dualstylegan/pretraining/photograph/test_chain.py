"""The whole chain: reproducible, per image, within range, at the frequencies that it states."""

from __future__ import annotations

import json

import pytest
import torch

from dualstylegan.pretraining.augment import augment_photo
from dualstylegan.pretraining.photograph.chain import (
    BACKGROUND_PROBABILITY,
    OCCLUSIONS,
    Photograph,
    photograph,
)
from tests.support.portrait_like import portrait_like

OCCLUDED = {kind.__name__.lower() for kind, _ in OCCLUSIONS}


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("call", [photograph, augment_photo])
def test_the_same_seed_gives_the_same_bytes_in_any_batch(call: object) -> None:
    assert callable(call)
    faces = torch.stack([portrait_like(64, seed) for seed in range(6)]) * 2 - 1
    together = call(faces, rng(4))
    assert torch.equal(together, call(faces, rng(4)))
    assert torch.equal(together[:2], call(faces[:2], rng(4)))
    assert not torch.equal(together, call(faces, rng(5)))
    assert len({float((y - x).abs().mean()) for x, y in zip(faces, together, strict=True)}) == 6


@pytest.mark.parametrize("size", [(64, 64), (128, 128), (101, 131)])
@pytest.mark.parametrize("value", [-1.0, 0.0, 1.0])
def test_flat_images_stay_finite_and_within_range(size: tuple[int, int], value: float) -> None:
    made = photograph(torch.full((8, 3, *size), value), rng(1))
    assert made.shape == (8, 3, *size)
    assert bool(made.isfinite().all())
    assert -1 <= made.min() <= made.max() <= 1


def test_degradations_come_as_often_as_stated() -> None:
    drawn = [set(Photograph.draw(rng(seed)).names) for seed in range(400)]
    share = sum("background" in names for names in drawn) / len(drawn)
    assert share == pytest.approx(BACKGROUND_PROBABILITY, abs=0.08)
    assert all(len(names & OCCLUDED) <= 1 for names in drawn)
    assert {name for names in drawn for name in names} >= OCCLUDED | {
        *("background", "light", "shadow", "framing", "defocus", "motion", "vignette", "tone"),
        *("monochrome", "shrink", "noise", "compression"),
    }


def test_occlusion_can_be_asked_for_and_ruled_out() -> None:
    for seed in range(20):
        for probability in (0.0, 1.0):
            names = set(Photograph.draw(rng(seed), occlusion_probability=probability).names)
            assert len(names & OCCLUDED) == probability


def test_a_photograph_states_all_its_parameters() -> None:
    drawn = [Photograph.draw(rng(seed)) for seed in range(50)]
    records = [json.dumps(one.facts()) for one in drawn]
    assert len(set(records)) == len(drawn)
    small = next(one for one in drawn if "shrink" in one.names)
    assert set(small.facts()["shrink"]) == {"factor", "inner"}


def test_a_photograph_still_shows_the_face() -> None:
    """Photographs of a face resemble it more than they resemble its mirror image upside down."""
    faces = portrait_like()[None].expand(32, -1, -1, -1) * 2 - 1
    made = photograph(faces, rng(7))
    near, far = ((made - other).square().mean((1, 2, 3)) for other in (faces, faces.flip(2)))
    assert float((near < far).float().mean()) > 0.95
