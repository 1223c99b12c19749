"""One-Euro filter: noise falls, motion is followed, squares stay squares."""

from __future__ import annotations

import numpy as np
import pytest

from dualstylegan.faces.geometry import ffhq_quad
from dualstylegan.video.smoothing import OneEuroFilter, Smoothing

SMOOTHING = Smoothing(cutoff=1.5, gain=8.0)
RATE = 25


def filtered(values: np.ndarray, rate: float = RATE) -> np.ndarray:
    smooth = OneEuroFilter(SMOOTHING)
    return np.stack([smooth(value, i / rate) for i, value in enumerate(values)])


def test_the_jitter_of_a_still_signal_falls() -> None:
    noise = np.random.default_rng(0).normal(0, 0.005, (100, 8))
    smooth = filtered(1 + noise)
    assert np.diff(smooth, axis=0).std() < 0.4 * np.diff(noise, axis=0).std()
    assert abs(smooth[50:].mean() - 1) < 0.001


def test_a_moving_signal_is_followed_closely() -> None:
    """The lag of an even motion of a side a second is less than a fiftieth of a side."""
    line = np.arange(100)[:, None] / RATE
    assert np.abs(filtered(line) - line)[50:].max() < 0.02


def test_the_result_does_not_depend_on_the_frame_rate() -> None:
    slow, quick = np.sin(np.arange(50) / 25)[:, None], np.sin(np.arange(100) / 50)[:, None]
    assert np.abs(filtered(slow, 25) - filtered(quick, 50)[::2]).max() < 0.02


def test_squares_stay_squares() -> None:
    generator = np.random.default_rng(1)
    quads = []
    for i in range(20):
        points = np.array([(0, 0), (60, 5), (30, 70)]) + 3 * i + generator.normal(0, 1, (3, 2))
        quads.append(ffhq_quad(*points))
    for quad in filtered(np.stack(quads)):
        sides = np.linalg.norm(np.roll(quad, -1, 0) - quad, axis=1)
        assert sides == pytest.approx(np.full(4, sides[0]))
        assert (quad[1] - quad[0]) @ (quad[3] - quad[0]) == pytest.approx(0, abs=1e-6)


def test_the_first_value_is_kept() -> None:
    assert (OneEuroFilter(SMOOTHING)(np.ones(3), 12.0) == 1).all()
