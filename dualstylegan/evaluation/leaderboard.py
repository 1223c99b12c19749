"""Methods of restyling on the same faces, exemplars and codes, measured the same way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from dualstylegan.evaluation.bootstrap import Interval, difference
from dualstylegan.evaluation.gallery import Gallery, Progress, Restyle
from dualstylegan.evaluation.measures import measure, pair_table
from dualstylegan.evaluation.probe import Probe, ring_pairs
from dualstylegan.evaluation.run import Plan
from dualstylegan.evaluation.subjects import Rendered, look_at, look_behind

FIRST, TIED, BEHIND = "first", "tied", "behind"


@dataclass(frozen=True)
class Column:
    """A measure of the table: its key in the figures, its heading, and which end is better."""

    key: str
    title: str
    higher: bool


COLUMNS = (
    Column("kid_results", "KID", False),
    Column("style_nearest", "own exemplar nearest", True),
    Column("style_distance", "style distance", False),
    Column("structure_own", "structure towards own exemplar", True),
    Column("identity_same", "identity", True),
    Column("identity_recognised", "person recognised", True),
    Column("pose_change", "change of pose", False),
    Column("expression_change", "change of expression", False),
    Column("artefact_rate", "faces lost", False),
    Column("reconstruction_lpips", "reconstruction LPIPS", False),
    Column("diversity_lpips", "diversity", True),
)


@dataclass(frozen=True)
class Entry:
    """A method with its figures and its pictures, uint8 (C, S, 3, H, W)."""

    name: str
    figures: Mapping[str, Interval]
    results: Tensor


@dataclass(frozen=True)
class Place:
    """Where a method stands by a measure.

    Attributes:
        verdict: `first`: better than every other; `tied`: it or the best one might be; `behind`.
        gap: how much better (above zero) than the best of the others, drawn together.
    """

    verdict: str
    gap: Interval


@dataclass(frozen=True)
class Row:
    """A method's line of the table, fit for a file.

    Attributes:
        figures: all its figures by key.
        places: where it stands, by the columns' keys.
    """

    name: str
    figures: Mapping[str, Interval]
    places: Mapping[str, Place] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The form in leaderboard.json."""
        return {
            "name": self.name,
            "figures": {key: figure.as_dict() for key, figure in self.figures.items()},
            "places": {
                key: {"verdict": place.verdict, "gap": place.gap.as_dict()}
                for key, place in self.places.items()
            },
        }

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Row:
        """What `as_dict` gave."""
        return cls(
            found["name"],
            {key: Interval(**figure) for key, figure in found["figures"].items()},
            {
                key: Place(place["verdict"], Interval(**place["gap"]))
                for key, place in found["places"].items()
            },
        )


def compare(
    methods: Mapping[str, Restyle | Rendered],
    gallery: Gallery,
    natural_SCHW: Tensor,
    probe: Probe,
    plan: Plan,
    progress: Progress,
) -> list[Entry]:
    """Measure every method.

    Args:
        methods: by name; or the pictures of one that has been at work already.
        gallery: faces and exemplars.
        natural_SCHW: g(z_i+) of every exemplar, uint8.
        probe, plan: how it is measured.
        progress: told what is done of each method.
    """
    pairs = ring_pairs(len(gallery.styles), plan.diversity_pairs, plan.seed)
    backdrop = look_behind(probe, gallery, natural_SCHW, pairs)
    entries = []
    for name, method in methods.items():

        def told(what: str, done: int, total: int, name: str = name) -> None:
            progress(f"{name}: {what}", done, total)

        if isinstance(method, Rendered):
            rendered = method
        else:
            own = gallery.reconstruct(method, natural_SCHW)
            rendered = Rendered(gallery.restyle(method, told), own)
        subjects = look_at(probe, gallery, backdrop, rendered, told)
        table = pair_table(subjects)
        figures = measure(subjects, table, seed=plan.seed, resamples=plan.resamples)
        entries.append(Entry(name, figures, rendered.results))
    return entries


def rank(entries: Sequence[Entry], columns: Sequence[Column] = COLUMNS) -> list[Row]:
    """Where every method stands by every measure that could be taken of all.

    Methods are told apart by the interval of their difference on the same resampled faces and
    exemplars, which is much narrower than their own intervals suggest.
    """
    shared = [c for c in columns if all(c.key in entry.figures for entry in entries)]
    places = {column.key: standing(entries, column) for column in shared}
    return [
        Row(entry.name, entry.figures, {key: place[i] for key, place in places.items()})
        for i, entry in enumerate(entries)
    ]


def standing(entries: Sequence[Entry], column: Column) -> list[Place]:
    """Where each method stands by a measure.

    A method is behind when the interval of its difference to the best one lies beside zero; first
    when it is the best one and all others are behind; else tied.
    """
    sign = 1.0 if column.higher else -1.0
    figures = [entry.figures[column.key] for entry in entries]
    values = [sign * figure.value for figure in figures]
    best = max(range(len(values)), key=values.__getitem__)
    behind = [
        i != best and _ahead(difference(figures[best], figure), sign)
        for i, figure in enumerate(figures)
    ]
    alone = sum(behind) == len(entries) - 1
    places = []
    for i, figure in enumerate(figures):
        others = [k for k in range(len(values)) if k != i]
        rival = max(others, key=values.__getitem__, default=i)
        gap = _signed(difference(figure, figures[rival]), sign)
        verdict = BEHIND if behind[i] else FIRST if alone else TIED
        places.append(Place(verdict, gap))
    return places


def _signed(gap: Interval, sign: float) -> Interval:
    # + 0.0: no minus before a zero
    low, high = sorted((sign * gap.low + 0.0, sign * gap.high + 0.0))
    return Interval(sign * gap.value + 0.0, low, high)


def _ahead(gap: Interval, sign: float) -> bool:
    """Whether a difference is above zero, whichever end is better."""
    return _signed(gap, sign).low > 0
