"""Leaderboard page: a table of methods and measures, and the results of each method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PIL import Image

from dualstylegan.evaluation.bootstrap import Interval
from dualstylegan.evaluation.leaderboard import BEHIND, COLUMNS, FIRST, TIED, Column, Row
from tasks.pages.charts import number
from tasks.pages.markup import document, picture, table, tag, text

PICTURE_PX = 1600
TITLE = "Leaderboard"
# Reference values that are the same for every method, and their labels.
LINES = {
    "kid_faces_line": "KID of untouched faces",
    "kid_halves_line": "KID between halves of the exemplars",
    "style_nearest_chance_line": "own exemplar nearest by chance",
    "identity_people_line": "identity (FaceNet's cosine) of two different people",
    "pose_people_line": "difference of pose between two faces",
    "expression_people_line": "difference of expression between two faces",
    "artefact_exemplars_line": "exemplars in which no face is found",
}
READING = (
    "Figures are shown with 95 % bootstrap intervals. Methods are compared by their differences on "
    "the same resampled faces and exemplars. The best method is marked first if its difference to "
    "every other one is significant; methods whose difference to the best one is not are tied."
)


def _cell(row: Row, column: Column) -> str:
    figure, comparison = row.figures[column.key], row.comparisons.get(column.key)
    verdict = comparison.verdict if comparison else ""
    value = tag("b", number(figure.value)) if verdict in (FIRST, TIED) else number(figure.value)
    mark = tag("span", verdict, class_=f"mark {verdict}") if verdict in (FIRST, TIED) else ""
    return f"{value} {mark}<small>{number(figure.low)} to {number(figure.high)}</small>"


def board(rows: Sequence[Row], columns: Sequence[Column] = COLUMNS) -> str:
    """Render the table: one row per measure, one column per method, which fits a phone.

    Measures that are not available for all methods are left out.
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
    """Summarise a method's comparisons in one sentence."""
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
    """List the reference values that all methods share."""
    parts = [
        f"{name}: {number(figures[key].value)}" for key, name in LINES.items() if key in figures
    ]
    return f"{'; '.join(parts)}." if parts else ""


def render(rows: Sequence[Row], grids: Mapping[str, Image.Image], lede: str) -> str:
    """Render one self-contained HTML page.

    Args:
        rows: measured methods; the first one is the subject of the comparison.
        grids: results by method: faces in rows, exemplars in columns.
        lede: description of the comparison.
    """
    sections = [
        tag("section", tag("h2", text(name)), picture(grid, f"Results of {name}", PICTURE_PX))
        for name, grid in grids.items()
    ]
    header = tag("header", tag("h1", TITLE), tag("p", text(lede), class_="lede"))
    notes = [tag("p", text(note)) for note in (sentence(rows[0]), READING, lines(rows[0].figures))]
    first = tag("section", *notes, board(rows))
    return document(TITLE, header, tag("main", first, *sections))
