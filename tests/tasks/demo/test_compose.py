"""Exaggeration: smooth, without folds, the same every time."""

from __future__ import annotations

import pytest
import torch

from dualstylegan.pretraining.painting.warp import (
    MIN_AREA,
    Character,
    displacement,
    exaggerate,
    smallest_area,
)
from tasks.demo.compose import recipe_key
from tasks.demo.recipes import CHARACTERS, recipes
from tests.support.schematic_face import SIZE, face_points, ramps


def test_a_neutral_character_changes_nothing() -> None:
    picture = ramps()
    assert torch.allclose(exaggerate(picture, face_points(), Character()), picture, atol=1e-4)


@pytest.mark.parametrize("name", CHARACTERS)
def test_characters_never_fold_and_keep_the_border(name: str) -> None:
    character = CHARACTERS[name].stretched(1.2)
    dx, dy = displacement(character, face_points(), SIZE)
    assert float(torch.hypot(dx, dy).max()) > 0.02 * SIZE
    warped, picture = exaggerate(ramps(), face_points(), character), ramps()
    assert torch.allclose(warped[:, 0], picture[:, 0], atol=1e-3)
    # A ramp that no fold has reversed still rises from left to right.
    assert bool((warped[0].diff(dim=1) > -1e-4).all())


def test_a_fold_is_noticed_and_damped() -> None:
    wild = Character(eyes=30.0, jaw=9.0, chin=2.0)
    dx, dy = displacement(wild, face_points(), SIZE)
    assert smallest_area(dx, dy) < MIN_AREA
    warped = exaggerate(ramps(), face_points(), wild)
    assert bool((warped[0].diff(dim=1) > -1e-2).all())


def test_big_eyes_are_bigger() -> None:
    picture = torch.full((3, SIZE, SIZE), -1.0)
    x, y = face_points()[36:42].mean(0).round().astype(int)
    picture[:, y - 3 : y + 4, x - 4 : x + 5] = 1.0
    warped = exaggerate(picture, face_points(), Character(eyes=1.5))
    assert int((warped[0] > 0).sum()) > 1.3 * int((picture[0] > 0).sum())


def test_recipes_are_all_different_and_stable() -> None:
    made = recipes()
    assert len(made) >= 24
    assert len({r.name for r in made}) == len({r.seed for r in made}) == len(made)
    assert [recipe_key(r) for r in made] == [recipe_key(r) for r in recipes()]
    assert len({r.palette for r in recipes(4)}) == 4
