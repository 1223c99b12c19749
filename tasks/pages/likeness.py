"""Parts of the report on identity: faces beside codes and ideal results, the curve of weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from dualstylegan.errors import BETTER_PHOTO
from dualstylegan.networks.facenet import SAME_PERSON_COSINE
from tasks.pages import charts
from tasks.pages.charts import number
from tasks.pages.markup import picture, section, table, tag, text

FACE_PX = 224


@dataclass(frozen=True)
class FacePair:
    """Content face beside g(code), the generator's image of its code.

    Attributes:
        name: of the face.
        photo, rendered: the aligned face and g(code).
        identity: FaceNet's cosine of the two.
        results: mean cosine of its results to the photo.
    """

    name: str
    photo: Image.Image
    rendered: Image.Image
    identity: float
    results: float


@dataclass(frozen=True)
class PasticheRow:
    """Result beside the ideal one, with its exemplar and photo.

    Attributes:
        content, style: names of face and exemplar.
        photo, exemplar, ideal, result: images.
        lpips, identity: of the result to the ideal one.
    """

    content: str
    style: str
    photo: Image.Image
    exemplar: Image.Image
    ideal: Image.Image
    result: Image.Image
    lpips: float
    identity: float


@dataclass(frozen=True)
class CurveRow:
    """Identity and style at one pair of style weights, over the same pairs of face and exemplar.

    Figures of likeness to ideal results are NaN where there are none.
    """

    structure: float
    color: float
    identity: float
    style_distance: float
    style_nearest: float
    pastiche_lpips: float = math.nan
    pastiche_identity: float = math.nan
    pastiche_recognised: float = math.nan


def fits_section(faces: Sequence[FacePair]) -> str:
    """Render each face beside g(code), the least similar first."""

    def figure(face: FacePair) -> str:
        lost = face.identity <= SAME_PERSON_COSINE
        verdict = "under the line" if lost else "above the line"
        pictures = tag(
            "div",
            picture(face.photo, f"The face of {face.name}", FACE_PX),
            picture(face.rendered, f"The generator's image of the code of {face.name}", FACE_PX),
        )
        caption = tag(
            "figcaption",
            tag("b", f"{face.identity:.2f}, {verdict}", class_="lost" if lost else None),
            f"{text(face.name)}; its results: {face.results:.2f}",
        )
        return tag("figure", pictures, caption)

    ordered = sorted(faces, key=lambda face: (face.identity, face.name))
    lost = sum(face.identity <= SAME_PERSON_COSINE for face in faces)
    help_ = f"What helps: {BETTER_PHOTO}, and more steps of the fit (--fit-steps)."
    return section(
        "fits",
        "What the codes keep of each face",
        "Left the photo, right the generator's image of its code, before any style: a person who "
        "is lost here cannot be kept by a restyling. The figure is the cosine of FaceNet's "
        "descriptors; different people are at about 0.05, two photographs of one person above "
        f"about {SAME_PERSON_COSINE:.2f}. Under that line: {lost} of {len(faces)} faces."
        f"{f' {help_}' if lost else ''}",
        tag("div", *(figure(face) for face in ordered), class_="fits"),
    )


def pastiche_section(rows: Sequence[PasticheRow]) -> str:
    """Render photo, exemplar, ideal result and result of some pairs, a row each."""
    header = ["", "photo", "exemplar", "ideal result", "result"]
    body = []
    for row in rows:
        name = f"{row.content} in the style of {row.style}"
        figures = f"identity {number(row.identity)}, LPIPS {number(row.lpips)}"
        cells = [
            picture(row.photo, f"The face of {row.content}", FACE_PX),
            picture(row.exemplar, f"Exemplar {row.style}", FACE_PX),
            picture(row.ideal, f"Ideal result of {name}", FACE_PX),
            picture(row.result, f"Result of {name}", FACE_PX),
        ]
        body.append([f"{text(name)}<small>{text(figures)}</small>", *cells])
    return section(
        "ideal",
        "Results beside ideal ones",
        "Each exemplar was exaggerated and painted by a known process. The ideal result is the "
        "photo itself, put through the process of the exemplar; it has the person, the "
        "exaggeration and the paint. Beneath each name: FaceNet's cosine and LPIPS of the result "
        "to the ideal one.",
        table(header, body, class_="pictures"),
    )


# Columns of the curve: field, heading.
CURVE = (
    ("identity", "identity"),
    ("style_distance", "style distance"),
    ("style_nearest", "own exemplar nearest"),
    ("pastiche_identity", "identity with the ideal result"),
    ("pastiche_lpips", "LPIPS to the ideal result"),
    ("pastiche_recognised", "recognised among ideal results"),
)


def curve_charts(points: Sequence[CurveRow]) -> str:
    """Render identity and style by structure weight: a chart each, and all values as a table."""
    if not points:
        return ""
    shown = [pair for pair in CURVE if not math.isnan(getattr(points[0], pair[0]))]
    full = [point for point in points if point.color == 1]
    weights = [point.structure for point in full]
    drawn = [
        charts.curve(
            title,
            weights,
            [getattr(point, name) for point in full],
            smoothing=1,
            axis="structure weight",
        )
        for name, title in shown
    ]
    rows = [
        [f"{point.structure:g}", f"{point.color:g}"]
        + [number(getattr(point, name)) for name, _ in shown]
        for point in points
    ]
    header = ["structure", "colour", *(title for _, title in shown)]
    caption = "Means over the same pairs of face and exemplar; identity by FaceNet"
    return tag("div", *drawn, class_="charts curves") + table(
        header, rows, caption=caption, class_="facts"
    )
