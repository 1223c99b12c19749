"""Gate of the registry: does a new version take the champion's place, and why.

The same faces in the same styles are compared pair by pair. The interval of the mean difference is
that of the leaderboard, faces and styles resampled together (Owen and Eckles, 2012).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dualstylegan.errors import DataError
from dualstylegan.evaluation.bootstrap import Interval, mean_interval
from tasks.shared.paths import Paths
from tasks.shared.settings import Register

if TYPE_CHECKING:
    import pandas as pd

# Measures by the columns of pairs.parquet whose mean they are.
PAIRED: Mapping[str, Callable[[pd.DataFrame], pd.Series]] = {
    "artefact_rate": lambda pairs: pairs["artefact"],
    "identity_recognised": lambda pairs: pairs["recognised"],
    "identity_same": lambda pairs: pairs["identity"],
    "pastiche_identity": lambda pairs: pairs["pastiche_identity"],
    "pastiche_recognised": lambda pairs: pairs["pastiche_recognised"],
    "style_distance": lambda pairs: pairs["own_distance"],
    "style_nearer_than_mean": lambda pairs: pairs["own_distance"] < pairs["other_distance"],
    "style_nearest": lambda pairs: pairs["rank"] == 1,
}
# Those of a pair that depend on which other faces and styles there are.
OF_THE_SET = frozenset(
    ("identity_recognised", "pastiche_recognised", "style_nearer_than_mean", "style_nearest")
)
LOWER_IS_BETTER = frozenset(
    ("artefact_rate", "kid_results", "reconstruction_lpips", "style_distance")
)
PAIR = ["content", "style"]
FEWEST = 2  # faces and styles that are resampled


@dataclass(frozen=True)
class Measured:
    """Measures of a version.

    Attributes:
        name: of the version, as it is told.
        figures: NAME, and its interval NAME.low and NAME.high.
        pairs: table of results, a row per face and style; None for versions made before it was
            kept.
        identity: name of the measure behind the figures of identity.
    """

    name: str
    figures: Mapping[str, float]
    pairs: pd.DataFrame | None
    identity: str


@dataclass(frozen=True)
class Gain:
    """Difference of two versions by a measure.

    Attributes:
        measure: its name.
        new, held: values of both versions, on what is compared.
        interval: of the difference; above zero where the new version is better.
        basis: what is compared.
    """

    measure: str
    new: float
    held: float
    interval: Interval
    basis: str

    def __str__(self) -> str:
        """Return the gain in a line."""
        of = self.interval
        return (
            f"{self.measure} {self.new:.4f} against {self.held:.4f}, better by {of.value:+.4f} "
            f"(95 % {of.low:+.4f} to {of.high:+.4f}; {self.basis})"
        )


@dataclass(frozen=True)
class Verdict:
    """Decision about a new version.

    Attributes:
        promoted: it becomes champion.
        reason: in a sentence.
        gain: by the deciding measure; None if there was nothing to compare with.
        guards: gains by the guards, negative where they fell.
    """

    promoted: bool
    reason: str
    gain: Gain | None = None
    guards: tuple[Gain, ...] = ()
    left_out: tuple[str, ...] = field(default=())


def judge(
    new: Measured, held: Measured | None, rule: Register, seed: int, resamples: int
) -> Verdict:
    """Decide whether a new version becomes champion.

    It does if the 95 % interval of the difference by `rule.measure` lies on the better side of
    zero, and no guard falls by more than `rule.guard_slack`. The first version becomes champion, as
    does one whose champion has no figure to compare with.

    Args:
        new: the new version.
        held: the champion; None: there is none.
        rule: settings.
        seed, resamples: of the bootstrap.

    Raises:
        DataError: the new version lacks the deciding measure.
    """
    if rule.measure not in new.figures:
        known = sorted(name for name in new.figures if "." not in name)
        raise DataError(
            "the deciding measure is missing",
            file=Paths.metrics,
            value=rule.measure,
            limit=", ".join(known),
            fix="set register.measure in params.yaml",
        )
    if held is None:
        return Verdict(True, "no champion before it")
    names = (rule.measure, *rule.guard)
    gains = {name: gain_of(name, new, held, seed, resamples) for name in names}
    left_out = tuple(name for name in names if gains[name] is None and name in held.figures)
    gain = gains.pop(rule.measure)
    guards = tuple(one for one in gains.values() if one is not None)
    if gain is None:
        reason = f"{held.name} has no {rule.measure} to compare with"
        return Verdict(True, reason, None, guards, left_out)
    fallen = [one for one in guards if one.interval.value < -rule.guard_slack]
    if fallen:
        said = f"a guard fell by more than {rule.guard_slack:g}: {'; '.join(map(str, fallen))}"
    elif gain.interval.low > 0:
        said = "better"
    else:
        said = "not better beyond chance" if gain.interval.high >= 0 else "worse"
    promoted = gain.interval.low > 0 and not fallen
    held_up = [str(one) for one in guards if one not in fallen]
    also = f"; guards: {'; '.join(held_up)}" if held_up else ""
    reason = f"{said} than {held.name}: {gain}{also}" if not fallen else f"{said}; {gain}"
    return Verdict(promoted, reason, gain, guards, left_out)


def gain_of(measure: str, new: Measured, held: Measured, seed: int, resamples: int) -> Gain | None:
    """Compare two versions by a measure; None if one lacks it or another network made it.

    Without a common table of pairs, as for a version made before it was kept, or another set of
    faces, the bounds are those of the two intervals drawn apart: the difference lies beside zero
    only if they do not overlap.
    """
    by_network = any(word in measure for word in ("identity", "recognised"))
    if by_network and new.identity != held.identity:
        return None
    if measure not in new.figures or measure not in held.figures:
        return None
    sign = -1.0 if measure in LOWER_IS_BETTER else 1.0
    paired = _paired(measure, new.pairs, held.pairs)
    if paired is None:
        return _apart(measure, new.figures, held.figures, sign)
    new_CS, held_CS = paired
    interval = mean_interval(sign * (new_CS - held_CS), seed=seed, resamples=resamples)
    defined = np.isfinite(new_CS - held_CS)
    basis = f"paired, {new_CS.shape[0]} faces in {new_CS.shape[1]} styles"
    mean, mean_held = (float(table[defined].mean()) for table in (new_CS, held_CS))
    return Gain(measure, mean, mean_held, interval, basis)


def _paired(
    measure: str, new: pd.DataFrame | None, held: pd.DataFrame | None
) -> tuple[np.ndarray[tuple[int, int], np.dtype[np.float64]], ...] | None:
    """Return the values of both versions on their common faces and styles, (C, S) tables."""
    if measure not in PAIRED or new is None or held is None:
        return None
    tables = []
    for pairs in (new, held):
        try:
            values = PAIRED[measure](pairs).astype(float)
        except KeyError:  # a column that the version's evaluation did not have
            return None
        named = pairs[PAIR].astype(str).assign(value=values)
        tables.append(named.pivot(index="content", columns="style", values="value"))
    first, second = tables
    same = first.index.equals(second.index) and first.columns.equals(second.columns)
    if measure in OF_THE_SET and not same:
        return None
    rows = first.index.intersection(second.index)
    columns = first.columns.intersection(second.columns)
    if min(len(rows), len(columns)) < FEWEST:
        return None
    pair = tuple(table.loc[rows, columns].to_numpy(np.float64) for table in tables)
    return pair if np.isfinite(pair[0] - pair[1]).any() else None


def _apart(measure: str, new: Mapping[str, float], held: Mapping[str, float], sign: float) -> Gain:
    """Return the difference with the bounds that both intervals together allow."""
    bounds = [
        sorted(sign * figures.get(f"{measure}.{end}", figures[measure]) for end in ("low", "high"))
        for figures in (new, held)
    ]
    value = sign * (new[measure] - held[measure])
    low, high = bounds[0][0] - bounds[1][1], bounds[0][1] - bounds[1][0]
    basis = "intervals of their own, not paired"
    return Gain(measure, new[measure], held[measure], Interval(value, low, high), basis)
