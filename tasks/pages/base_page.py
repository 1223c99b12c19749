"""Page of the base models: figures, held-out curves of their trainings, and images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from tasks.pages.charts import curve, number
from tasks.pages.markup import document, picture, table, tag, text

PICTURE_PX = 1600
TITLE = "The embedded base models"
LEDE = "All figures are measured on held-out faces, which no training has seen."


@dataclass(frozen=True)
class Picture:
    """Image grid with the meaning of its rows, from top to bottom."""

    title: str
    rows: Sequence[str]
    image: Image.Image


def _section(title: str, *body: str) -> str:
    return tag("section", tag("h2", text(title)), *body)


def _figures(figures: Mapping[str, Any]) -> str:
    """Render nested figures as tables: one per entry, one row per item compared."""
    parts = []
    for name, entry in figures.items():
        nested = all(isinstance(value, Mapping) for value in entry.values())
        if nested and any(isinstance(v, Mapping) for row in entry.values() for v in row.values()):
            parts += [_figures({f"{name}, {part}": rows}) for part, rows in entry.items()]
            continue
        rows = entry if nested else {name: entry}
        columns = list(next(iter(rows.values())))
        cells = [[text(row), *(number(rows[row][c]) for c in columns)] for row in rows]
        parts += [tag("h3", text(name)), table(["", *map(text, columns)], cells, class_="facts")]
    return "".join(parts)


def _curves(curves: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    parts = []
    for stage, rows in curves.items():
        if len(rows) < 2:
            continue
        steps = [row["step"] for row in rows]
        charts = [
            curve(name, steps, [row[name] for row in rows], smoothing=1.0)
            for name in rows[0]
            if name != "step"
        ]
        parts += [tag("h3", text(stage)), tag("div", *charts, class_="charts")]
    return "".join(parts)


def render(
    figures: Mapping[str, Any],
    curves: Mapping[str, Sequence[Mapping[str, float]]],
    pictures: Sequence[Picture],
) -> str:
    """Render one self-contained HTML page.

    Args:
        figures: tables of numbers by model, nested once or twice.
        curves: rows of `step` and figures, by training.
        pictures: image grids.
    """
    shown = [
        _section(
            one.title,
            tag("p", text("Rows: " + "; ".join(one.rows) + ".")),
            picture(one.image, f"{one.title}. Rows: {', '.join(one.rows)}", PICTURE_PX),
        )
        for one in pictures
    ]
    header = tag("header", tag("h1", text(TITLE)), tag("p", text(LEDE), class_="lede"))
    body = tag(
        "main",
        _section("Figures", _figures(figures)),
        _section("Held-out curves", _curves(curves)),
        *shown,
    )
    return document(TITLE, header, body)
