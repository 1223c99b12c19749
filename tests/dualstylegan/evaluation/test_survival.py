"""Survival is 1 for what a style keeps, whatever it adds and stretches, and 0 for what it loses."""

from __future__ import annotations

import numpy as np
import pytest

from dualstylegan.evaluation.attributes import NAMES
from dualstylegan.evaluation.bootstrap import Array
from dualstylegan.evaluation.survival import AttributeTables, losses, survival, survivals

FACES, STYLES = 30, 8


def photos() -> Array:
    return np.random.default_rng(0).normal(size=FACES)


def styled(values_C: Array, scales: Array, shifts: Array) -> Array:
    """Return values as styles change them, (C, S): each stretches and moves all faces alike."""
    changed: Array = values_C[:, None] * scales + shifts
    return changed


def value(photo_C: Array, image_CS: Array) -> float:
    found = survival(photo_C, image_CS, seed=0, resamples=20)
    assert found is not None
    return found.value


def test_what_a_style_does_to_all_faces_alike_is_no_loss() -> None:
    rng = np.random.default_rng(1)
    kept = styled(photos(), rng.uniform(0.1, 3, STYLES), rng.normal(0, 50, STYLES))
    assert value(photos(), kept) == pytest.approx(1)
    assert value(photos(), -kept) == pytest.approx(-1)


def test_shuffled_faces_have_lost_it_and_noise_loses_a_part() -> None:
    rng = np.random.default_rng(1)
    shuffled = np.stack([rng.permutation(photos()) for _ in range(STYLES)], 1)
    assert abs(value(photos(), shuffled)) < 0.15
    noisy = photos()[:, None] + photos().std() * rng.normal(size=(FACES, STYLES))
    assert value(photos(), noisy) == pytest.approx(0.5**0.5, abs=0.1)


def test_interval_holds_the_value_and_is_wider_with_fewer_faces() -> None:
    rng = np.random.default_rng(1)
    noisy = photos()[:, None] + rng.normal(size=(FACES, STYLES))
    many = survival(photos(), noisy, seed=0, resamples=300)
    few = survival(photos()[:8], noisy[:8], seed=0, resamples=300)
    assert many is not None
    assert few is not None
    assert many.low < many.value < many.high
    assert many.high - many.low < few.high - few.low


def test_unknown_values_are_left_out_and_too_few_faces_tell_nothing() -> None:
    image = styled(photos(), np.ones(STYLES), np.zeros(STYLES))
    image[3] = np.nan
    image[5:, 0] = np.nan
    image[2:, 1] = np.nan
    assert value(photos(), image) == pytest.approx(1)
    assert survival(photos()[:2], image[:2], seed=0, resamples=5) is None
    assert survival(photos(), np.zeros((FACES, STYLES)), seed=0, resamples=5) is None
    assert survival(photos(), np.full((FACES, STYLES), np.nan), seed=0, resamples=5) is None


def test_figures_have_the_attributes_names_and_leave_out_the_undefined() -> None:
    photo = np.stack([photos()] * len(NAMES), 1)
    image = photo[:, None].repeat(STYLES, 1)
    image[..., 0] = 5.0
    figures = survivals(photo, image, seed=0, resamples=20)
    assert set(figures) == {f"attribute_{name}" for name in NAMES[1:]}
    tables = AttributeTables(photo, image[:, 0], image)
    both = tables.survivals(seed=0, resamples=20)
    assert {f"{name}_code_line" for name in figures} < set(both)


def test_the_pair_that_loses_most_is_found() -> None:
    photo_C = np.r_[np.linspace(-1, 1, FACES - 1), 4.0]
    image_CS = styled(photo_C, np.full(STYLES, 2.0), np.arange(STYLES, dtype=np.float64))
    image_CS[-1, 3] = image_CS[:, 3].mean()  # the one who has it most has it no more
    assert losses(photo_C, image_CS).argmax() == (FACES - 1) * STYLES + 3
    photo = np.stack([photo_C] * len(NAMES), 1)
    tables = AttributeTables(photo, photo, np.stack([image_CS] * len(NAMES), 2))
    pairs = tables.most_lost(0, 2)
    assert pairs[0] == (FACES - 1, 3)
    assert len({face for face, _ in pairs}) == 2
