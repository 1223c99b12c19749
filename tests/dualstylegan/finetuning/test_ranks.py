"""Training by several ranks: the same as by one, whoever computes a pass."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.ranked import (
    MAKERS,
    state_file,
    train_all,
    train_by_ranks,
    train_by_torchrun,
)

PASSES = 3
# The published batch of 32.
PUBLISHED = {"passes": 8, "batch": 4}


def test_ranks_take_up_the_state_of_one_and_go_on_as_it_does(tmp_path: Path) -> None:
    """Step 1 by one process, 2 and 3 by two ranks, which share three passes: the same bytes."""
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    train_all(alone, 1, PASSES)
    shutil.copytree(alone, shared)
    train_all(alone, 3, PASSES)
    train_by_ranks(2, shared, 3, PASSES)
    for kind in MAKERS:
        assert state_file(shared, kind).read_bytes() == state_file(alone, kind).read_bytes()


@pytest.mark.long
def test_eight_ranks_compute_the_published_batch_of_32_as_one_does(tmp_path: Path) -> None:
    """Steps by eight ranks, by one, and by the two that torchrun starts: the same bytes."""
    alone, eight, two = (tmp_path / name for name in ("alone", "eight", "two"))
    train_all(alone, 2, **PUBLISHED)
    train_by_ranks(8, eight, 2, **PUBLISHED)
    train_by_torchrun(2, two, 2, **PUBLISHED)
    for kind in MAKERS:
        expected = state_file(alone, kind).read_bytes()
        assert state_file(eight, kind).read_bytes() == expected
        assert state_file(two, kind).read_bytes() == expected
