"""The leaderboard: one table of methods and measures, and the pictures of each method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PIL import Image

from dualstylegan.evaluation.bootstrap import Interval
from dualstylegan.evaluation.leaderboard import BEHIND, COLUMNS, FIRST, TIED, Column, Row
from tasks.pages.charts import number
from tasks.pages.markup import document, picture, table, tag, text

PICTURE_PX = 1600
TITLE = "Leaderboard"
# Lines that hold for every method alike, and what they are.
LINES = {
    "kid_faces_line": "KID of untouched faces",
    "kid_halves_line": "KID of one half of the exemplars to the other",
    "style_nearest_chance_line": "own exemplar nearest, by chance",
    "identity_people_line": "identity of two different people",
    "pose_people_line": "change of pose from one face to another",
    "expression_people_line": "change of expression from one face to another",
    "artefact_exemplars_line": "exemplars without a face that the landmark model finds",
}
READING = (
    "Each figure with its 95 % interval. Methods are told apart by their difference on the same "
    "resampled faces and exemplars: the best one is marked first if it is ahead of all others by "
    "more than chance, and tied with those that it may be equal to."
)


def _cell(row: Row, column: Column) -> str:
    found, place = row.figures[column.key], row.comparisons.get(column.key)
    verdict = place.verdict if place else ""
    value = tag("b", number(found.value)) if verdict in (FIRST, TIED) else number(found.value)
    mark = tag("span", verdict, class_=f"mark {verdict}") if verdict in (FIRST, TIED) else ""
    return f"{value} {mark}<small>{number(found.low)} to {number(found.high)}</small>"


def board(rows: Sequence[Row], columns: Sequence[Column] = COLUMNS) -> str:
    """The table: a line a measure, a column a method, which is how it fits a phone.

    Measures that some method lacks are left out.
    """
    shared = [c for c in columns if all(c.key in row.figures for row in rows)]
    body = [
        [
            f"{text(column.title)} {'&uarr;' if column.higher else '&darr;'}",
            *(_cell(row, column) for row in rows),
        ]
        for column in shared
    ]
    return table(["", *(text(row.name) for row in rows)], body, class_="facts board")


def sentence(row: Row, columns: Sequence[Column] = COLUMNS) -> str:
    """Where a method stands, in words."""
    parts = []
    for verdict, words in ((FIRST, "first in"), (TIED, "tied for first in"), (BEHIND, "behind in")):
        named = [
            column.title
            for column in columns
            if column.key in row.comparisons and row.comparisons[column.key].verdict == verdict
        ]
        if named:
            parts.append(f"{words} {', '.join(named)}")
    return f"{row.name} is {'; '.join(parts)}." if parts else ""


def lines(figures: Mapping[str, Interval]) -> str:
    """What holds for every method alike, in words."""
    parts = [
        f"{name}: {number(figures[key].value)}" for key, name in LINES.items() if key in figures
    ]
    return f"{'; '.join(parts)}." if parts else ""


def render(rows: Sequence[Row], grids: Mapping[str, Image.Image], lede: str) -> str:
    """One self-contained HTML page.

    Args:
        rows: the methods, measured; the first is the one to be judged.
        grids: pictures of each method by its name: faces down, exemplars across.
        lede: what was compared, in a sentence.
    """
    sections = [
        tag("section", tag("h2", text(name)), picture(grid, f"Results of {name}", PICTURE_PX))
        for name, grid in grids.items()
    ]
    header = tag("header", tag("h1", TITLE), tag("p", text(lede), class_="lede"))
    words = [tag("p", text(said)) for said in (sentence(rows[0]), READING, lines(rows[0].figures))]
    first = tag("section", *words, board(rows))
    return document(TITLE, header, tag("main", first, *sections))
