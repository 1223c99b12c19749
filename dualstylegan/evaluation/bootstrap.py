"""Bootstrap intervals that respect how the pictures were made.

Every result belongs to one content face and one exemplar, so results are not independent of each
other. Faces and exemplars are therefore resampled, not results (two-way cluster bootstrap, Owen and
Eckles, 2012): a result then counts as often as its face times as its exemplar was drawn.

Legend of shape suffixes: R resample, A first axis (faces), B second axis (exemplars).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dualstylegan.errors import DataError

Array = NDArray[np.float64]

RESAMPLES = 1000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A measured value and the bootstrap interval around it.

    Attributes:
        resampled_R: the value of each resample, NaN where it does not exist; None of a constant
            and of what was read from a file. Two values whose units were drawn with one seed are
            drawn alike, so that their difference can be taken resample by resample.
    """

    value: float
    low: float
    high: float
    resampled_R: Array | None = field(default=None, compare=False, repr=False)

    def as_dict(self) -> dict[str, float]:
        """The form in metrics.json: plain numbers, rounded to what they can carry."""
        return {k: round(float(getattr(self, k)), 6) for k in ("value", "low", "high")}


def draw_weights(sizes: Sequence[int], resamples: int, seed: int) -> list[Array]:
    """How often each unit is drawn: one (R, size) table of counts for each axis."""
    draw = np.random.default_rng(seed)
    return [
        draw.multinomial(size, np.full(size, 1 / size), resamples).astype(np.float64)
        for size in sizes
    ]


def percentile_interval(value: float, resampled_R: Array, level: float = LEVEL) -> Interval:
    """Interval between the outer quantiles of the resampled statistic; NaN resamples are left out.

    A resample is NaN when it holds too few distinct units for the statistic to exist.
    """
    kept = resampled_R[np.isfinite(resampled_R)]
    if not len(kept):
        return Interval(value, value, value, resampled_R)
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), resampled_R)


def difference(first: Interval, second: Interval, level: float = LEVEL) -> Interval:
    """First less second, drawn together: the interval is that of the difference in each resample.

    Both must come from the same seed and the same units. A constant is drawn as itself.
    """
    drawn = [x.value if x.resampled_R is None else x.resampled_R for x in (first, second)]
    apart_R = np.atleast_1d(np.asarray(drawn[0] - drawn[1], np.float64))
    return percentile_interval(first.value - second.value, apart_R, level)


def _ratio(total: Array, count: Array) -> Array:
    ratio: Array = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return ratio


def mean_interval(
    table: Array,
    *,
    seed: int,
    same_units: bool = False,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Interval:
    """Mean of a table with its interval.

    Args:
        table: values of A units, or of (A, B) pairs; NaN marks a pair that does not count.
        seed: of the resampling.
        same_units: rows and columns are the same units, which are then drawn together.

    Raises:
        DataError: nothing in the table counts.
    """
    values = np.asarray(table, np.float64)
    counted = np.where(np.isfinite(values), 1.0, np.nan)
    return ratio_interval(
        values, counted, seed=seed, same_units=same_units, resamples=resamples, level=level
    )


def ratio_interval(
    over: Array,
    under: Array,
    *,
    seed: int,
    same_units: bool = False,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Interval:
    """Sum of one table divided by the sum of another of the same units, with its interval.

    A ratio of sums, unlike a mean of ratios, is not ruled by the pairs that divide by little.

    Args:
        over, under: values of A units, or of (A, B) pairs; NaN marks a pair that does not count.
        seed, same_units, resamples, level: see `mean_interval`.

    Raises:
        DataError: nothing in the tables counts.
    """
    counts = np.isfinite(over) & np.isfinite(under)
    if not counts.any():
        raise DataError("nothing to measure", value=f"table of shape {over.shape}")
    filled = [np.where(counts, table, 0.0) for table in (over, under)]
    filled = [table[:, None] if table.ndim == 1 else table for table in filled]
    rows_RA, columns_RB = draw_weights(filled[0].shape, resamples, seed)
    if same_units:
        columns_RB = rows_RA
    sums = [np.einsum("ra,ab,rb->r", rows_RA, x, columns_RB, optimize=True) for x in filled]
    value = float(filled[0].sum() / filled[1].sum())
    return percentile_interval(value, _ratio(sums[0], sums[1]), level)


def statistic_interval(
    statistic: Callable[..., float],
    weights: Sequence[Array],
    *,
    level: float = LEVEL,
) -> Interval:
    """Interval of any weighted statistic.

    Args:
        statistic: takes one weight vector an axis; all ones give the value.
        weights: (R, size) tables of `draw_weights`, one an axis.
    """
    value = statistic(*(np.ones(w.shape[1]) for w in weights))
    resampled = np.array([statistic(*row) for row in zip(*weights, strict=True)])
    return percentile_interval(float(value), resampled, level)
