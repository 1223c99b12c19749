"""Methods of restyling on the same faces, exemplars and codes, measured the same way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from dualstylegan.evaluation.bootstrap import Interval
from dualstylegan.evaluation.gallery import Gallery, Progress, Restyle
from dualstylegan.evaluation.measures import measure, pair_table
from dualstylegan.evaluation.probe import Probe
from dualstylegan.evaluation.run import Plan, Rendered, look_at


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
    Column("identity_same", "identity", True),
    Column("identity_recognised", "person recognised", True),
    Column("reconstruction_lpips", "reconstruction LPIPS", False),
    Column("diversity_lpips", "diversity", True),
)


@dataclass(frozen=True)
class Entry:
    """A method with its figures and its pictures, uint8 (C, S, 3, H, W)."""

    name: str
    figures: Mapping[str, Interval]
    results: Tensor


def compare(
    methods: Mapping[str, Restyle],
    gallery: Gallery,
    natural_SCHW: Tensor,
    probe: Probe,
    plan: Plan,
    progress: Progress,
) -> list[Entry]:
    """Measure every method.

    Args:
        methods: by name.
        gallery: faces and exemplars.
        natural_SCHW: g(z_i+) of every exemplar, uint8.
        probe, plan: how it is measured.
        progress: told what is done of each method.
    """
    entries = []
    for name, method in methods.items():

        def told(what: str, done: int, total: int, name: str = name) -> None:
            progress(f"{name}: {what}", done, total)

        results = gallery.restyle(method, told)
        own = gallery.reconstruct(method, natural_SCHW)
        rendered = Rendered(results, own, natural_SCHW)
        subjects = look_at(probe, gallery, rendered, plan, told)
        table = pair_table(subjects)
        figures = measure(subjects, table, seed=plan.seed, resamples=plan.resamples)
        entries.append(Entry(name, figures, results))
    return entries


def best(entries: Sequence[Entry], column: Column) -> str:
    """Name of the method that is first by a measure."""
    value = {entry.name: entry.figures[column.key].value for entry in entries}
    return (max if column.higher else min)(value, key=lambda name: value[name])
