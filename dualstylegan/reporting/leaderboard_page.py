"""The leaderboard's page: one table of methods and measures, and the pictures of each method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PIL import Image

from dualstylegan.evaluation.leaderboard import COLUMNS, Entry, best
from dualstylegan.reporting.charts import number
from dualstylegan.reporting.markup import document, picture, table, tag, text

PICTURE_PX = 1600
TITLE = "Leaderboard"


def _table(entries: Sequence[Entry]) -> str:
    firsts = {column.key: best(entries, column) for column in COLUMNS}
    header = ["", *(f"{text(c.title)} {'&uarr;' if c.higher else '&darr;'}" for c in COLUMNS)]
    rows = []
    for entry in entries:
        cells = []
        for column in COLUMNS:
            found = entry.figures[column.key]
            value = number(found.value)
            shown = tag("b", value) if firsts[column.key] == entry.name else value
            cells.append(f"{shown} <small>[{number(found.low)}, {number(found.high)}]</small>")
        rows.append([text(entry.name), *cells])
    return table(header, rows, class_="facts")


def _lines(entries: Sequence[Entry]) -> str:
    """What holds for every method alike: the lines of sanity."""
    figures = entries[0].figures
    named = {
        "kid_faces_line": "KID of untouched faces",
        "kid_halves_line": "KID of one half of the exemplars to the other",
        "identity_people_line": "identity of two different people",
    }
    parts = [
        f"{name}: {number(figures[key].value)}" for key, name in named.items() if key in figures
    ]
    return tag("p", text("; ".join(parts) + "."))


def render(entries: Sequence[Entry], grids: Mapping[str, Image.Image], lede: str) -> str:
    """One self-contained HTML page.

    Args:
        entries: the methods, measured.
        grids: pictures of each method by its name: faces down, exemplars across.
        lede: what was compared, in a sentence.
    """
    sections = [
        tag("section", tag("h2", text(name)), picture(grid, f"Results of {name}", PICTURE_PX))
        for name, grid in grids.items()
    ]
    header = tag("header", tag("h1", TITLE), tag("p", text(lede), class_="lede"))
    first = tag("section", _table(entries), _lines(entries))
    return document(TITLE, header, tag("main", first, *sections))
