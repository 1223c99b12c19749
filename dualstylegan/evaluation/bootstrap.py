"""Two-way cluster bootstrap intervals (Owen and Eckles, 2012).

Every result depends on one content face and one exemplar, so results are not independent. Faces and
exemplars are therefore resampled instead of results: the weight of a result is the product of how
often its face and its exemplar were drawn.

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
    """Measured value with its bootstrap interval.

    Attributes:
        value: of all units.
        low, high: bounds of the interval.
        resampled_R: value of each resample, NaN where it is undefined; None for a constant and
            for values read from a file. Values of the same units and seed share their resamples,
            so that their difference can be computed per resample.
    """

    value: float
    low: float
    high: float
    resampled_R: Array | None = field(default=None, compare=False, repr=False)

    def as_dict(self) -> dict[str, float]:
        """Return the form stored in metrics.json: plain numbers rounded to 6 digits."""
        return {k: round(float(getattr(self, k)), 6) for k in ("value", "low", "high")}


def draw_weights(sizes: Sequence[int], resamples: int, seed: int) -> list[Array]:
    """Draw how often each unit counts in each resample: one (R, size) table per axis."""
    rng = np.random.default_rng(seed)
    return [
        rng.multinomial(size, np.full(size, 1 / size), resamples).astype(np.float64)
        for size in sizes
    ]


def percentile_interval(value: float, resampled_R: Array, level: float = LEVEL) -> Interval:
    """Compute the interval between the outer quantiles of a resampled statistic.

    NaN resamples, which have too few distinct units for the statistic to be defined, are left out.
    """
    defined = resampled_R[np.isfinite(resampled_R)]
    if not len(defined):
        return Interval(value, value, value, resampled_R)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), resampled_R)


def difference(first: Interval, second: Interval, level: float = LEVEL) -> Interval:
    """Compute first minus second by paired resampling: the difference within each resample.

    Both must come from the same seed and units. A constant has its value in every resample.
    """
    resampled = [x.value if x.resampled_R is None else x.resampled_R for x in (first, second)]
    apart_R = np.atleast_1d(np.asarray(resampled[0] - resampled[1], np.float64))
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
    """Compute the mean of a table with its interval.

    Args:
        table: values of A units, or of (A, B) pairs; NaN entries are left out.
        seed: of the bootstrap.
        same_units: True if rows and columns are the same units, which are then drawn once.
        resamples: number of resamples.
        level: of confidence.

    Raises:
        DataError: no entry is finite.
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
    """Compute the sum of one table over the sum of another of the same units, with its interval.

    A ratio of sums, unlike a mean of ratios, is not dominated by pairs with small denominators.

    Args:
        over, under: values of A units, or of (A, B) pairs; entries with a NaN in either are left
            out.
        seed, same_units, resamples, level: see `mean_interval`.

    Raises:
        DataError: no entry is defined in both tables, or their denominators are all 0.
    """
    counts = np.isfinite(over) & np.isfinite(under)
    if not np.where(counts, under, 0.0).any():
        raise DataError(
            "no values to average",
            value=f"table of shape {over.shape}",
            fix="measure at least one pair that has a value in both tables",
        )
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
    """Compute the interval of any weighted statistic.

    Args:
        statistic: takes one weight vector per axis; all ones give the value itself.
        weights: (R, size) tables of `draw_weights`, one per axis.
        level: of confidence.
    """
    value = statistic(*(np.ones(w.shape[1]) for w in weights))
    resampled = np.array([statistic(*row) for row in zip(*weights, strict=True)])
    return percentile_interval(float(value), resampled, level)
