"""Training by several ranks: the same as by one, whoever computes a pass."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support.ranked import MAKERS, state_file, train_all, train_by_ranks

PASSES = 3


def test_ranks_take_up_the_state_of_one_and_go_on_as_it_does(tmp_path: Path) -> None:
    """Step 1 by one process, 2 and 3 by two ranks, which share three passes: the same bytes."""
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    train_all(alone, 1, PASSES)
    shutil.copytree(alone, shared)
    train_all(alone, 3, PASSES)
    train_by_ranks(2, shared, 3, PASSES)
    for kind in MAKERS:
        assert state_file(shared, kind).read_bytes() == state_file(alone, kind).read_bytes()
