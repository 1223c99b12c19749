"""Even choice of a subset, the same wherever faces or exemplars are chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


def evenly_spaced(count: int, wanted: int) -> list[int]:
    """Return at most `wanted` of the indices 0 to count - 1, evenly spaced from 0 on.

    Validation, leaderboard and sample grids select exemplars with it, and so agree on them.
    """
    wanted = min(wanted, count)
    return [index * count // wanted for index in range(wanted)]


def evenly_spaced_subset(items: Sequence[Item], limit: int | None) -> list[Item]:
    """Choose at most `limit` items, evenly spaced over the sequence; None takes all."""
    wanted = len(items) if limit is None else limit
    return [items[index] for index in evenly_spaced(len(items), wanted)]
