"""Leaderboard: methods of style transfer on the same faces, exemplars and codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from dualstylegan.evaluation.bootstrap import Interval, difference
from dualstylegan.evaluation.descriptions import (
    Renderings,
    describe_references,
    describe_results,
)
from dualstylegan.evaluation.eval_set import EvalSet, Progress, RestyleMethod, ring_pairs
from dualstylegan.evaluation.extractor import FeatureExtractor
from dualstylegan.evaluation.measures import measure, pair_table
from dualstylegan.evaluation.pastiche import (
    Pastiches,
    compare_results,
    describe_pastiches,
    measure_pastiches,
)
from dualstylegan.evaluation.plan import EvaluationPlan
from dualstylegan.evaluation.run import NO_PASTICHES

FIRST, TIED, BEHIND = "first", "tied", "behind"


@dataclass(frozen=True)
class Column:
    """Measure of the table.

    Attributes:
        key: in the figures.
        title: its heading.
        higher: True if higher values are better.
    """

    key: str
    title: str
    higher: bool


COLUMNS = (
    Column("kid_results", "KID", False),
    Column("style_nearest", "own exemplar nearest", True),
    Column("style_distance", "style distance", False),
    Column("structure_own", "structure towards own exemplar", True),
    Column("identity_same", "identity", True),
    Column("identity_recognised", "identity recognised", True),
    Column("pastiche_lpips", "LPIPS to the ideal result", False),
    Column("pastiche_identity", "identity with the ideal result", True),
    Column("pastiche_recognised", "recognised among ideal results", True),
    Column("pose_change", "change of pose", False),
    Column("expression_change", "change of expression", False),
    Column("artefact_rate", "faces lost", False),
    Column("reconstruction_lpips", "reconstruction LPIPS", False),
    Column("diversity_lpips", "diversity", True),
)


@dataclass(frozen=True)
class MethodResult:
    """Figures and images, uint8 (C, S, 3, H, W), of a method."""

    name: str
    figures: Mapping[str, Interval]
    results: Tensor


@dataclass(frozen=True)
class Comparison:
    """Comparison of a method with all others by one measure.

    Attributes:
        verdict: `first` if better than every other method, `tied` if not distinguishable from the
            best one, else `behind`.
        gap: lead (above zero) over the best of the other methods, by paired resampling.
    """

    verdict: str
    gap: Interval


@dataclass(frozen=True)
class Row:
    """Row of the leaderboard in a form that can be stored.

    Attributes:
        name: of the method.
        figures: all its figures, by key.
        comparisons: with the other methods, by the columns' keys.
    """

    name: str
    figures: Mapping[str, Interval]
    comparisons: Mapping[str, Comparison] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the form stored in leaderboard.json."""
        return {
            "name": self.name,
            "figures": {key: figure.as_dict() for key, figure in self.figures.items()},
            "places": {
                key: {"verdict": comparison.verdict, "gap": comparison.gap.as_dict()}
                for key, comparison in self.comparisons.items()
            },
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Row:
        """Restore a row from the form that `as_dict` returns."""
        return cls(
            stored["name"],
            {key: Interval(**figure) for key, figure in stored["figures"].items()},
            {
                key: Comparison(comparison["verdict"], Interval(**comparison["gap"]))
                for key, comparison in stored["places"].items()
            },
        )


def measure_methods(
    methods: Mapping[str, RestyleMethod | Renderings],
    eval_set: EvalSet,
    natural_SCHW: Tensor,
    extractor: FeatureExtractor,
    plan: EvaluationPlan,
    progress: Progress,
    pastiches: Pastiches = NO_PASTICHES,
) -> list[MethodResult]:
    """Measure every method on the same evaluation set.

    Args:
        methods: by name; or the images of a method that has been run before.
        eval_set: faces and exemplars.
        natural_SCHW: g(z_i+) of every exemplar, uint8.
        extractor: the measuring networks.
        plan: number of pairs, seed and resamples.
        progress: called with a description, the steps done and their total.
        pastiches: ideal results by the names of face and exemplar, where there are any.
    """
    ideal = describe_pastiches(extractor, eval_set, pastiches)
    pairs = ring_pairs(len(eval_set.styles), plan.diversity_pairs, plan.seed)
    references = describe_references(extractor, eval_set, natural_SCHW, pairs)
    measured = []
    for name, method in methods.items():

        def report(what: str, done: int, total: int, name: str = name) -> None:
            progress(f"{name}: {what}", done, total)

        if isinstance(method, Renderings):
            renderings = method
        else:
            reconstructions = eval_set.reconstruct(method, natural_SCHW)
            renderings = Renderings(eval_set.restyle(method, report), reconstructions)
        results = describe_results(extractor, eval_set, references, renderings, report)
        table = pair_table(results)
        bootstrap = {"seed": plan.seed, "resamples": plan.resamples}
        figures = measure(results, table, **bootstrap)
        if ideal is not None:
            images = renderings.results
            judged = compare_results(extractor, ideal, images, results.identities)
            figures |= measure_pastiches(judged, **bootstrap)
        measured.append(MethodResult(name, figures, renderings.results))
    return measured


def rank(methods: Sequence[MethodResult], columns: Sequence[Column] = COLUMNS) -> list[Row]:
    """Compare the methods by every measure that all of them have.

    Comparisons use the interval of the difference of two methods on the same resampled faces and
    exemplars. It is much narrower than the methods' own intervals suggest.
    """
    shared = [c for c in columns if all(c.key in method.figures for method in methods)]
    by_column = {column.key: compare(methods, column) for column in shared}
    return [
        Row(method.name, method.figures, {key: rows[i] for key, rows in by_column.items()})
        for i, method in enumerate(methods)
    ]


def compare(methods: Sequence[MethodResult], column: Column) -> list[Comparison]:
    """Compare each method with all others by one measure.

    A method is behind if the interval of its difference to the best one excludes zero; first if it
    is the best one and all others are behind; else tied.
    """
    sign = 1.0 if column.higher else -1.0
    figures = [method.figures[column.key] for method in methods]
    values = [sign * figure.value for figure in figures]
    best = max(range(len(values)), key=values.__getitem__)
    behind = [
        i != best and _is_ahead(difference(figures[best], figure), sign)
        for i, figure in enumerate(figures)
    ]
    best_alone = sum(behind) == len(methods) - 1
    comparisons = []
    for i, figure in enumerate(figures):
        others = [k for k in range(len(values)) if k != i]
        rival = max(others, key=values.__getitem__, default=i)
        gap = _signed(difference(figure, figures[rival]), sign)
        verdict = BEHIND if behind[i] else FIRST if best_alone else TIED
        comparisons.append(Comparison(verdict, gap))
    return comparisons


def _signed(gap: Interval, sign: float) -> Interval:
    # + 0.0: no minus before a zero
    low, high = sorted((sign * gap.low + 0.0, sign * gap.high + 0.0))
    return Interval(sign * gap.value + 0.0, low, high)


def _is_ahead(gap: Interval, sign: float) -> bool:
    """Return True if a signed difference lies above zero with its whole interval."""
    return _signed(gap, sign).low > 0
