"""Report page: data rendered section by section into one self-contained HTML string."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from PIL import Image

from dualstylegan.evaluation.bootstrap import Interval
from tasks.pages import charts
from tasks.pages.charts import number
from tasks.pages.comparison import AddedStyles, Board, added_section, board_section
from tasks.pages.likeness import (
    CurveRow,
    FacePair,
    PasticheRow,
    curve_charts,
    fits_section,
    pastiche_section,
)
from tasks.pages.markup import document, picture, section, table, tag, text
from tasks.pages.measures import HEADLINES, MEASURES, Measure

Picture = Image.Image
HERO_PX, GRID_PX, SMALL_PX = 448, 224, 128


@dataclass(frozen=True)
class Transfer:
    """Image of the strip at the top: a face, an exemplar and the result."""

    content: str
    style: str
    face: Picture
    exemplar: Picture
    result: Picture


@dataclass(frozen=True)
class Grid:
    """Results of faces (rows) in styles (columns); `results[row][column]`."""

    contents: Sequence[tuple[str, Picture]]
    styles: Sequence[tuple[str, Picture]]
    results: Sequence[Sequence[Picture]]


@dataclass(frozen=True)
class Triple:
    """Destylization of one exemplar: the exemplar, g(z_e+) and g(z_i+)."""

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
    """Losses of one stage (steps and values by name), and sample images taken during training."""

    stage: str
    losses: Mapping[str, tuple[Sequence[float], Sequence[float]]]
    samples: Sequence[tuple[str, Picture]] = ()


@dataclass(frozen=True)
class Source:
    """Origin and licence of a weight file or an image."""

    name: str
    origin: str
    licence: str
    note: str = ""


@dataclass(frozen=True)
class Report:
    """Content of the page; an empty part leaves its section out."""

    title: str
    lede: str
    hero: Sequence[Transfer] = ()
    grid: Grid | None = None
    triples: Sequence[Triple] = ()
    fits: Sequence[FacePair] = ()
    pastiches: Sequence[PasticheRow] = ()
    sweep: Sweep | None = None
    curve: Sequence[CurveRow] = ()
    curves: Sequence[Curves] = ()
    figures: Mapping[str, Interval] = field(default_factory=dict)
    board: Board | None = None
    ablations: Board | None = None
    added: AddedStyles | None = None
    weights: Sequence[Source] = ()
    images: Sequence[Source] = ()
    seconds: Sequence[tuple[str, float]] = ()
    settings: Mapping[str, object] = field(default_factory=dict)
    closing: str = ""


def hero_strip(results: Sequence[Transfer]) -> str:
    """Render results, each above the face and the exemplar that it was made from."""

    def card(shown: Transfer) -> str:
        alt = f"{shown.content} in the style of {shown.style}"
        made_from = tag(
            "div",
            picture(shown.face, f"The face of {shown.content}", SMALL_PX),
            picture(shown.exemplar, f"Exemplar {shown.style}", SMALL_PX),
            tag("span", f"{_words(shown.content)}<br>in the style of {_words(shown.style)}"),
            class_="from",
        )
        return tag("figure", picture(shown.result, alt, HERO_PX, "result"), made_from)

    return tag("div", *(card(shown) for shown in results), class_="hero")


def _words(name: str) -> str:
    """Return a name as text that may break after its underscores."""
    return text(name).replace("_", "_<wbr>")


def tiles(figures: Mapping[str, Interval]) -> str:
    """Render the headlines of a model's measures; empty if there are none."""
    made = [
        tag("div", tag("b", text(headline.show(figures))), tag("span", text(headline.label)))
        for headline in HEADLINES
        if all(key in figures for key in headline.keys)
    ]
    return tag("div", *made, class_="tiles") if made else ""


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
        "Faces in rows, exemplars in columns. No training has seen these faces.",
        table(header, rows, class_="pictures"),
    )


def _triples(report: Report) -> str:
    if not report.triples:
        return ""

    def figure(triple: Triple) -> str:
        shown = (
            (triple.exemplar, f"Exemplar {triple.name}"),
            (triple.extrinsic, f"{triple.name} as the face generator embeds it"),
            (triple.intrinsic, f"{triple.name} as a realistic face"),
        )
        row = tag("div", *(picture(image, alt, GRID_PX) for image, alt in shown))
        return tag("figure", row, tag("figcaption", text(triple.name)))

    return section(
        "destylization",
        "From portrait to person",
        "Destylization turns each exemplar into a realistic face. From left to right: the "
        "exemplar, g(z_e+), the natural generator's image of the code that fits it on the adapted "
        "generator g', and g(z_i+), the face it is paired with in training.",
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
        f"{sweep.content} in the style of {sweep.style}. One weight sets how much of the "
        "exemplar's shapes is taken over, the other how much of its colours. With both at 0 the "
        "result is the face as the generator embeds it.",
        table(header, rows, class_="pictures sweep"),
        curve_charts(report.curve),
    )


def _fits(report: Report) -> str:
    return fits_section(report.fits) if report.fits else ""


def _pastiches(report: Report) -> str:
    return pastiche_section(report.pastiches) if report.pastiches else ""


def _measure(measure: Measure, figures: Mapping[str, Interval]) -> str:
    rows = [(measure.short, figures[measure.key], True)]
    rows += [(label, figures[key], False) for key, label in measure.lines if key in figures]
    spoken = "; ".join(
        f"{label}: {number(figure.value)}, from {number(figure.low)} to {number(figure.high)}"
        for label, figure, _ in rows
    )
    words = tag("div", tag("h3", text(measure.title)), tag("p", text(measure.meaning)))
    return tag("div", words, charts.intervals(rows, spoken), class_="measure")


def _measures(report: Report) -> str:
    shown = [_measure(m, report.figures) for m in MEASURES if m.key in report.figures]
    if not shown:
        return ""
    return section(
        "measures",
        "Measures and reference values",
        "Each figure is shown with its 95 % bootstrap interval, for which faces and exemplars are "
        "resampled. Reference values are listed below it.",
        *shown,
    )


def _board(report: Report) -> str:
    return board_section(report.board) if report.board else ""


def _ablations(report: Report) -> str:
    return board_section(report.ablations) if report.ablations else ""


def _added(report: Report) -> str:
    return added_section(report.added) if report.added else ""


def _training(report: Report) -> str:
    parts = []
    for stage in report.curves:
        curves = [charts.curve(name, *points) for name, points in stage.losses.items()]
        samples = [
            tag(
                "figure",
                picture(image, f"Samples of {stage.stage} at {when}", HERO_PX),
                tag("figcaption", text(when)),
            )
            for when, image in stage.samples
        ]
        parts += [
            tag("h3", text(stage.stage)),
            tag("div", *curves, class_="charts"),
            tag("div", *samples, class_="strip") if samples else "",
        ]
    if not parts:
        return ""
    return section(
        "training",
        "Training",
        "All losses by step: thin lines as logged, thick lines averaged.",
        *parts,
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
        "Origins, licences and settings",
        "Origin and licence of every weight file and every image, and all settings of this run.",
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
        f"Seconds that each stage took when it last ran; {total / 60:.1f} minutes in total.",
        charts.bars(report.seconds, "s", spoken),
    )


_SECTIONS: tuple[tuple[str, str, Callable[[Report], str]], ...] = (
    ("grid", "Grid", _grid),
    ("ideal", "Ideal results", _pastiches),
    ("leaderboard", "Leaderboard", _board),
    ("ablations", "Ablations", _ablations),
    ("measures", "Measures", _measures),
    ("fits", "Faces and codes", _fits),
    ("held-out", "New exemplars", _added),
    ("weights", "Weights", _sweep),
    ("destylization", "Destylization", _triples),
    ("training", "Training", _training),
    ("time", "Time", _times),
    ("provenance", "Provenance", _provenance),
)


def render(report: Report) -> str:
    """Render the page: one HTML string without scripts and without external references."""
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
        hero_strip(report.hero) if report.hero else "",
        tiles(report.figures),
        tag("nav", tag("ul", *links), aria_label="Sections") if links else "",
    )
    body = tag("main", *(made for _, _, made in sections))
    footer = tag("footer", text(report.closing))
    return document(report.title, header, body, footer)
