"""Sections of the report that compare: methods side by side, and exemplars added at run time."""

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
    """Methods on the same faces and exemplars.

    Attributes:
        rows: the methods, measured; the first is the one to be judged.
        lede: what was compared, in a sentence.
        exemplars, faces: of each column, by name.
        pictures: of each method, in the order of the columns.
        anchor, title: of the section.
    """

    rows: Sequence[Row]
    lede: str
    exemplars: Sequence[Named]
    faces: Sequence[Named]
    pictures: Mapping[str, Sequence[Image.Image]]
    anchor: str
    title: str


@dataclass(frozen=True)
class Enrolled:
    """Exemplars that became styles of the finished model, with results.

    Attributes:
        exemplars, reconstructions: by name, and what the model makes of each.
        faces: by name.
        results: of each exemplar, in the order of the faces.
        seconds: that each took, where it is known.
    """

    exemplars: Sequence[Named]
    reconstructions: Sequence[Image.Image]
    faces: Sequence[Named]
    results: Sequence[Sequence[Image.Image]]
    seconds: Mapping[str, float]


def board_section(shown: Board) -> str:
    """The table, how to read it, and a strip of pictures: a row a method, a column a pair."""
    words = [READING, lines(shown.rows[0].figures)]
    header = ["", *(_captioned(image, f"Exemplar {name}", name) for name, image in shown.exemplars)]
    faces = [picture(image, f"The face of {name}", THUMBNAIL_PX) for name, image in shown.faces]
    rows = [["face", *faces]]
    for name, pictures in shown.pictures.items():
        cells = [
            picture(image, f"{face} in the style of {style} by {name}", THUMBNAIL_PX)
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
        *(tag("p", text(said), class_="small") for said in words if said),
        table(header, rows, class_="pictures methods"),
    )


def enrolled_section(shown: Enrolled) -> str:
    """A strip for each exemplar: itself, the model's rendering of it, and faces in its style."""
    header = ["", "redrawn", *(_captioned(i, f"The face of {n}", n) for n, i in shown.faces)]
    rows = []
    for (style, exemplar), own, results in zip(
        shown.exemplars, shown.reconstructions, shown.results, strict=True
    ):
        cells = [
            picture(image, f"{face} in the style of {style}", THUMBNAIL_PX)
            for image, (face, _) in zip(results, shown.faces, strict=True)
        ]
        redrawn = picture(own, f"{style} redrawn by the model", THUMBNAIL_PX)
        rows.append([_captioned(exemplar, f"Exemplar {style}", style), redrawn, *cells])
    took = [f"{name} {number(seconds)} s" for name, seconds in shown.seconds.items()]
    intro = (
        "Exemplars that no training has seen, added to the finished model by optimising their "
        "codes alone. The measures above hold them against the exemplars of the training."
    )
    return section(
        "held-out",
        "Exemplars added later",
        intro,
        table(header, rows, class_="pictures"),
        tag("p", text(f"Each took: {', '.join(took)}."), class_="small") if took else "",
    )


def _captioned(image: Image.Image, alt: str, caption: str) -> str:
    return picture(image, alt, THUMBNAIL_PX) + text(caption)
