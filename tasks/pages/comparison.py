"""Sections of the report on method comparisons and on exemplars added at run time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from dualstylegan.evaluation.leaderboard import Row
from tasks.pages.charts import number
from tasks.pages.leaderboard_page import READING, board, lines, sentence
from tasks.pages.markup import picture, section, table, tag, text

Named = tuple[str, Image.Image]
THUMBNAIL_PX = 224


@dataclass(frozen=True)
class Board:
    """Comparison of methods on the same faces and exemplars.

    Attributes:
        rows: measured methods; the first one is the subject of the comparison.
        lede: description of the comparison.
        exemplars, faces: of each column, with their names.
        pictures: results of each method, in the order of the columns.
        anchor: id of the section.
        title: heading of the section.
    """

    rows: Sequence[Row]
    lede: str
    exemplars: Sequence[Named]
    faces: Sequence[Named]
    pictures: Mapping[str, Sequence[Image.Image]]
    anchor: str
    title: str


@dataclass(frozen=True)
class AddedStyles:
    """Exemplars added to the finished model as styles, with results.

    Attributes:
        exemplars: with their names.
        reconstructions: the model's rendering of each exemplar.
        faces: with their names.
        results: per exemplar, in the order of the faces.
        seconds: time that adding each exemplar took, by name, where known.
    """

    exemplars: Sequence[Named]
    reconstructions: Sequence[Image.Image]
    faces: Sequence[Named]
    results: Sequence[Sequence[Image.Image]]
    seconds: Mapping[str, float]


def board_section(shown: Board) -> str:
    """Render the table, notes on reading it, and results: one row per method."""
    notes = [READING, lines(shown.rows[0].figures)]
    header = ["", *(_captioned(image, f"Exemplar {name}", name) for name, image in shown.exemplars)]
    faces = [picture(image, f"The face of {name}", THUMBNAIL_PX) for name, image in shown.faces]
    rows = [["face", *faces]]
    for name, pictures in shown.pictures.items():
        cells = [
            picture(image, f"{face} in the style of {style}, {name}", THUMBNAIL_PX)
            for image, (face, _), (style, _) in zip(
                pictures, shown.faces, shown.exemplars, strict=True
            )
        ]
        rows.append([text(name), *cells])
    return section(
        shown.anchor,
        shown.title,
        f"{shown.lede} {sentence(shown.rows[0])}",
        board(shown.rows),
        *(tag("p", text(note), class_="small") for note in notes if note),
        table(header, rows, class_="pictures methods"),
    )


def added_section(shown: AddedStyles) -> str:
    """Render one row per exemplar: itself, the model's rendering of it, and faces in its style."""
    header = ["", "reconstruction", *(_captioned(i, f"The face of {n}", n) for n, i in shown.faces)]
    rows = []
    for (style, exemplar), own, results in zip(
        shown.exemplars, shown.reconstructions, shown.results, strict=True
    ):
        cells = [
            picture(image, f"{face} in the style of {style}", THUMBNAIL_PX)
            for image, (face, _) in zip(results, shown.faces, strict=True)
        ]
        redrawn = picture(own, f"Reconstruction of {style}", THUMBNAIL_PX)
        rows.append([_captioned(exemplar, f"Exemplar {style}", style), redrawn, *cells])
    seconds = [f"{name} {number(taken)} s" for name, taken in shown.seconds.items()]
    note = f"Time to add each exemplar, several at once on a CPU: {', '.join(seconds)}."
    intro = (
        "These exemplars were not used for training. They were added to the finished model by "
        "optimising their codes alone. The measures above compare them with trained exemplars."
    )
    return section(
        "held-out",
        "Exemplars added later",
        intro,
        table(header, rows, class_="pictures"),
        tag("p", text(note), class_="small") if seconds else "",
    )


def _captioned(image: Image.Image, alt: str, caption: str) -> str:
    return picture(image, alt, THUMBNAIL_PX) + text(caption)
