"""The report page, section by section, from data to one self-contained HTML string."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from PIL import Image

from dualstylegan.evaluation.bootstrap import Interval
from tasks.pages import charts
from tasks.pages.charts import number
from tasks.pages.comparison import Board, Enrolled, board_section, enrolled_section
from tasks.pages.markup import document, picture, section, table, tag, text
from tasks.pages.measures import HEADLINES, MEASURES, Measure

Picture = Image.Image
HERO_PX, GRID_PX, SMALL_PX = 448, 224, 128


@dataclass(frozen=True)
class Transfer:
    """One picture of the hero strip."""

    content: str
    style: str
    face: Picture
    exemplar: Picture
    result: Picture


@dataclass(frozen=True)
class Grid:
    """Results of faces (down) in styles (across); `results[row][column]`."""

    contents: Sequence[tuple[str, Picture]]
    styles: Sequence[tuple[str, Picture]]
    results: Sequence[Sequence[Picture]]


@dataclass(frozen=True)
class Triple:
    """Destylization of one exemplar: itself, the natural face of its fitted code, g(z_i+)."""

    name: str
    exemplar: Picture
    extrinsic: Picture
    intrinsic: Picture


@dataclass(frozen=True)
class Sweep:
    """One face in one style; `results[i][j]` has structure `steps[i]`, colour `steps[j]`."""

    content: str
    style: str
    steps: Sequence[float]
    results: Sequence[Sequence[Picture]]


@dataclass(frozen=True)
class Curves:
    """Losses of one stage: name of each, its steps and values; and pictures during training."""

    stage: str
    losses: Mapping[str, tuple[Sequence[float], Sequence[float]]]
    samples: Sequence[tuple[str, Picture]] = ()


@dataclass(frozen=True)
class Source:
    """Where a weight or an image comes from, and under which licence."""

    name: str
    origin: str
    licence: str
    note: str = ""


@dataclass(frozen=True)
class Report:
    """All that the page shows; a part that is empty leaves its section out."""

    title: str
    lede: str
    hero: Sequence[Transfer] = ()
    grid: Grid | None = None
    triples: Sequence[Triple] = ()
    sweep: Sweep | None = None
    curves: Sequence[Curves] = ()
    figures: Mapping[str, Interval] = field(default_factory=dict)
    board: Board | None = None
    ablations: Board | None = None
    enrolled: Enrolled | None = None
    weights: Sequence[Source] = ()
    images: Sequence[Source] = ()
    seconds: Sequence[tuple[str, float]] = ()
    settings: Mapping[str, object] = field(default_factory=dict)
    closing: str = ""


def _hero(report: Report) -> str:
    def card(shown: Transfer) -> str:
        alt = f"{shown.content} restyled after exemplar {shown.style}"
        made_from = tag(
            "div",
            picture(shown.face, f"The face of {shown.content}", SMALL_PX),
            picture(shown.exemplar, f"Exemplar {shown.style}", SMALL_PX),
            tag("span", f"{text(shown.content)}<br>as {text(shown.style)}"),
            class_="from",
        )
        return tag("figure", picture(shown.result, alt, HERO_PX, "result"), made_from)

    return tag("div", *(card(shown) for shown in report.hero), class_="hero")


def _tiles(report: Report) -> str:
    tiles = [
        tag("div", tag("b", text(headline.show(report.figures))), tag("span", text(headline.label)))
        for headline in HEADLINES
        if all(key in report.figures for key in headline.keys)
    ]
    return tag("div", *tiles, class_="tiles") if tiles else ""


def _grid(report: Report) -> str:
    if report.grid is None:
        return ""
    grid = report.grid
    header = [
        "",
        *(picture(image, f"Exemplar {name}", GRID_PX) + text(name) for name, image in grid.styles),
    ]
    rows = []
    for (content, face), results in zip(grid.contents, grid.results, strict=True):
        cells = [
            picture(image, f"{content} in the style of {style}", GRID_PX)
            for (style, _), image in zip(grid.styles, results, strict=True)
        ]
        rows.append([picture(face, f"The face of {content}", GRID_PX) + text(content), *cells])
    return section(
        "grid",
        "Every face in every style",
        "Faces run down, exemplars across. The faces were held out: no training has seen them.",
        table(header, rows, class_="pictures"),
    )


def _triples(report: Report) -> str:
    if not report.triples:
        return ""

    def figure(triple: Triple) -> str:
        shown = (
            (triple.exemplar, f"Exemplar {triple.name}"),
            (triple.extrinsic, f"{triple.name} embedded by the face generator"),
            (triple.intrinsic, f"{triple.name} as a realistic face"),
        )
        row = tag("div", *(picture(image, alt, GRID_PX) for image, alt in shown))
        return tag("figure", row, tag("figcaption", text(triple.name)))

    return section(
        "destylization",
        "From portrait to person",
        "Destylization finds the face behind each exemplar: the exemplar, what g makes of "
        "the code that fits it on g', and the face g(z_i+) that it is paired with in training.",
        tag("div", *(figure(triple) for triple in report.triples), class_="triples"),
    )


def _sweep(report: Report) -> str:
    if report.sweep is None:
        return ""
    sweep = report.sweep
    header = ["", *(f"colour {step:g}" for step in sweep.steps)]
    rows = []
    for step, results in zip(sweep.steps, sweep.results, strict=True):
        cells = [
            picture(image, f"Structure weight {step:g}, colour weight {color:g}", GRID_PX)
            for color, image in zip(sweep.steps, results, strict=True)
        ]
        rows.append([f"structure {step:g}", *cells])
    return section(
        "weights",
        "How much structure, how much colour",
        f"{sweep.content} after {sweep.style}: two dials blend the exemplar's shapes and its "
        "colours in, each on its own. The first picture is the face as its code renders it.",
        table(header, rows, class_="pictures sweep"),
    )


def _measure(measure: Measure, figures: Mapping[str, Interval]) -> str:
    rows = [(measure.short, figures[measure.key], True)]
    rows += [(label, figures[key], False) for key, label in measure.lines if key in figures]
    spoken = "; ".join(
        f"{label}: {number(found.value)}, from {number(found.low)} to {number(found.high)}"
        for label, found, _ in rows
    )
    words = tag("div", tag("h3", text(measure.title)), tag("p", text(measure.meaning)))
    return tag("div", words, charts.intervals(rows, spoken), class_="measure")


def _measures(report: Report) -> str:
    shown = [_measure(m, report.figures) for m in MEASURES if m.key in report.figures]
    if not shown:
        return ""
    return section(
        "measures",
        "Measured, beside the line to beat",
        "Each figure stands with its 95 % bootstrap interval, resampling faces and exemplars, "
        "above what it has to be held against.",
        *shown,
    )


def _board(report: Report) -> str:
    return board_section(report.board) if report.board else ""


def _ablations(report: Report) -> str:
    return board_section(report.ablations) if report.ablations else ""


def _enrolled(report: Report) -> str:
    return enrolled_section(report.enrolled) if report.enrolled else ""


def _training(report: Report) -> str:
    parts = []
    for stage in report.curves:
        drawn = [charts.curve(name, *points) for name, points in stage.losses.items()]
        samples = [
            tag(
                "figure",
                picture(image, f"Pictures of {stage.stage} at {when}", HERO_PX),
                tag("figcaption", text(when)),
            )
            for when, image in stage.samples
        ]
        parts += [
            tag("h3", text(stage.stage)),
            tag("div", *drawn, class_="charts"),
            tag("div", *samples, class_="strip") if samples else "",
        ]
    if not parts:
        return ""
    return section(
        "training", "Training", "Every loss by step, faint as measured, bold averaged.", *parts
    )


def _sources(title: str, sources: Sequence[Source]) -> str:
    if not sources:
        return ""
    rows = [[text(s.name), text(s.origin), text(s.licence), text(s.note)] for s in sources]
    return tag(
        "details",
        tag("summary", text(f"{title} ({len(sources)})")),
        table(["Name", "Origin", "Licence", "Note"], rows, class_="facts"),
    )


def _provenance(report: Report) -> str:
    settings = [
        tag(
            "details",
            tag("summary", "Settings"),
            table(
                ["Section", "Values"],
                [
                    [text(name), tag("code", text(json.dumps(value, default=str)))]
                    for name, value in report.settings.items()
                ],
                class_="facts",
            ),
        )
    ]
    body = [
        _sources("Weights", report.weights),
        _sources("Images", report.images),
        *(settings if report.settings else []),
    ]
    if not any(body):
        return ""
    return section(
        "provenance",
        "Where it all comes from",
        "Every weight and every picture, with its origin and its licence, and every setting.",
        *body,
    )


def _times(report: Report) -> str:
    if not report.seconds:
        return ""
    total = sum(seconds for _, seconds in report.seconds)
    spoken = ", ".join(f"{name} {number(seconds)} s" for name, seconds in report.seconds)
    return section(
        "time",
        "Time",
        f"Seconds of each stage when it last ran, {total / 60:.1f} minutes in all.",
        charts.bars(report.seconds, "s", spoken),
    )


_SECTIONS: tuple[tuple[str, str, Callable[[Report], str]], ...] = (
    ("grid", "Grid", _grid),
    ("leaderboard", "Leaderboard", _board),
    ("ablations", "Ablations", _ablations),
    ("measures", "Measures", _measures),
    ("held-out", "New exemplars", _enrolled),
    ("weights", "Weights", _sweep),
    ("destylization", "Destylization", _triples),
    ("training", "Training", _training),
    ("time", "Time", _times),
    ("provenance", "Provenance", _provenance),
)


def render(report: Report) -> str:
    """The page: one HTML string without scripts and without a single outside reference."""
    sections = [(anchor, name, make(report)) for anchor, name, make in _SECTIONS]
    links = [
        tag("li", tag("a", text(name), href=f"#{anchor}"))
        for anchor, name, made in sections
        if made
    ]
    header = tag(
        "header",
        tag("h1", text(report.title)),
        tag("p", text(report.lede), class_="lede"),
        _hero(report) if report.hero else "",
        _tiles(report),
        tag("nav", tag("ul", *links), aria_label="Sections") if links else "",
    )
    body = tag("main", *(made for _, _, made in sections))
    footer = tag("footer", text(report.closing))
    return document(report.title, header, body, footer)
