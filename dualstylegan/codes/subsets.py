"""Even choice of a subset, the same wherever faces or exemplars are chosen."""

from __future__ import annotations


def evenly_spaced(count: int, wanted: int) -> list[int]:
    """Return at most `wanted` of the indices 0 to count - 1, evenly spaced from 0 on.

    Validation, leaderboard and sample grids select exemplars with it, and so agree on them.
    """
    wanted = min(wanted, count)
    return [index * count // wanted for index in range(wanted)]
