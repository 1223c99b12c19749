"""Subsets: evenly spaced over the whole set."""

from __future__ import annotations

import pytest

from dualstylegan.codes.subsets import evenly_spaced


@pytest.mark.parametrize(
    ("count", "wanted", "indices"),
    [(24, 4, [0, 6, 12, 18]), (3, 8, [0, 1, 2]), (5, 2, [0, 2]), (0, 4, []), (4, 0, [])],
)
def test_a_subset_is_spread_over_the_whole_set(count: int, wanted: int, indices: list[int]) -> None:
    assert evenly_spaced(count, wanted) == indices
