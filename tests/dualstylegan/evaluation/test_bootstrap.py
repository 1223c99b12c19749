"""Intervals cover what they claim, and the kernel distance is unbiased."""

from __future__ import annotations

import numpy as np
import pytest

from dualstylegan.errors import DataError
from dualstylegan.evaluation.bootstrap import (
    Interval,
    difference,
    draw_weights,
    mean_interval,
    ratio_interval,
)
from dualstylegan.evaluation.kid import (
    kid,
    kid_of_halves,
    kid_of_results,
    kid_of_sets,
)


def test_interval_of_a_mean_covers_the_truth_as_often_as_it_says() -> None:
    draw = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        found = mean_interval(draw.normal(3.0, 1.0, 60), seed=seed, resamples=200)
        covered += found.low <= 3.0 <= found.high
    assert 0.88 <= covered / 200 <= 0.99


def test_interval_of_a_table_is_wider_than_that_of_its_cells_taken_as_independent() -> None:
    draw = np.random.default_rng(1)
    table = draw.normal(size=(8, 1)) + 0.1 * draw.normal(size=(8, 30))
    clustered = mean_interval(table, seed=0)
    naive = mean_interval(table.ravel(), seed=0)
    assert clustered.value == pytest.approx(naive.value)
    assert clustered.high - clustered.low > 2 * (naive.high - naive.low)


def test_cells_that_do_not_count_leave_the_mean_alone() -> None:
    table = np.array([[np.nan, 1.0], [3.0, np.nan]])
    assert mean_interval(table, seed=0, same_units=True).value == 2.0
    with pytest.raises(DataError, match="no values to average"):
        mean_interval(np.full((2, 2), np.nan), seed=0)


def test_same_seed_same_interval() -> None:
    values = np.arange(12.0)
    assert mean_interval(values, seed=3) == mean_interval(values, seed=3)
    assert mean_interval(values, seed=3) != mean_interval(values, seed=4)


def test_difference_of_two_means_of_the_same_units_covers_the_truth() -> None:
    draw = np.random.default_rng(5)
    covered = 0
    for seed in range(200):
        faces = draw.normal(0, 3, 40)
        gain = draw.normal(0.5, 1.0, 40)
        found = difference(
            mean_interval(faces + gain, seed=seed, resamples=200),
            mean_interval(faces, seed=seed, resamples=200),
        )
        covered += found.low <= 0.5 <= found.high
        assert found.high - found.low < 1.2
    assert 0.88 <= covered / 200 <= 0.99


def test_difference_to_a_constant_is_the_interval_moved() -> None:
    found = mean_interval(np.arange(9.0), seed=0)
    moved = difference(found, Interval(1.0, 1.0, 1.0))
    assert [moved.value, moved.low, moved.high] == pytest.approx(
        [found.value - 1, found.low - 1, found.high - 1]
    )


def test_ratio_of_sums_is_not_ruled_by_pairs_that_divide_by_little() -> None:
    under = np.array([[1.0, 1.0, 1e-6], [1.0, 1.0, np.nan]])
    found = ratio_interval(np.array([[0.5, 0.5, 0.1], [0.5, 0.5, 9.0]]), under, seed=0)
    assert found.value == pytest.approx(2.1 / 4.000001)
    assert found.low <= found.value


def test_each_resample_draws_as_many_units_as_there_are() -> None:
    (weights,) = draw_weights((7,), 50, 0)
    assert (weights.sum(1) == 7).all()


def test_kid_of_two_samples_of_one_thing_is_zero_on_average() -> None:
    draw = np.random.default_rng(2)
    found = [kid(draw.normal(size=(12, 6)), draw.normal(size=(20, 6))) for _ in range(400)]
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found)) < 3 * error


def test_kid_by_its_definition() -> None:
    x, y = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[1.0, 1.0], [2.0, 0.0]])
    within = 1.0 + (2 / 2 + 1) ** 3
    between = np.mean([1.5**3, 2.0**3, 1.5**3, 1.0])
    assert kid(x, y) == pytest.approx(within - 2 * between)


def test_results_close_to_the_styles_beat_the_faces() -> None:
    draw = np.random.default_rng(3)
    styles = draw.normal(1.0, 0.3, (10, 16))
    faces = draw.normal(0.0, 0.3, (6, 16))
    results = (0.2 * faces[:, None] + 0.8 * styles[None]).reshape(60, 16)
    ours = kid_of_results(results, styles, 6, seed=0, resamples=200)
    line = kid_of_sets(faces, styles, seed=0, resamples=200)
    assert ours.low <= ours.value <= ours.high
    assert ours.high < line.low
    floor = kid_of_halves(styles, seed=0)
    assert floor.low <= 0 <= floor.high


def test_sets_that_cannot_be_compared_are_refused_with_their_sizes() -> None:
    few, many = np.zeros((1, 4)), np.zeros((6, 4))
    with pytest.raises(DataError, match="1 and 6"):
        kid(few, many)
    with pytest.raises(DataError, match="limit: 2 x 6"):
        kid_of_results(np.zeros((11, 4)), many, 2, seed=0)
    with pytest.raises(DataError, match="at least 4"):
        kid_of_halves(np.zeros((3, 4)), seed=0)
