"""Parts of the report on identity: each face beside its code, and the curve of style weights."""

from __future__ import annotations

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
class CurveRow:
    """Identity and style at one pair of style weights, over the same pairs of face and exemplar."""

    structure: float
    color: float
    identity: float
    style_distance: float
    style_nearest: float


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


def curve_charts(points: Sequence[CurveRow]) -> str:
    """Render identity and style by structure weight: a chart each, and all values as a table."""
    if not points:
        return ""
    full = [point for point in points if point.color == 1]
    weights = [point.structure for point in full]
    drawn = [
        charts.curve(title, weights, values, smoothing=1, axis="structure weight")
        for title, values in (
            ("identity", [point.identity for point in full]),
            ("style distance", [point.style_distance for point in full]),
            ("own exemplar nearest", [point.style_nearest for point in full]),
        )
    ]
    rows = [
        [
            f"{point.structure:g}",
            f"{point.color:g}",
            number(point.identity),
            number(point.style_distance),
            number(point.style_nearest),
        ]
        for point in points
    ]
    header = ["structure", "colour", "identity", "style distance", "own exemplar nearest"]
    caption = "Means over the same pairs of face and exemplar; identity by FaceNet"
    return tag("div", *drawn, class_="charts curves") + table(
        header, rows, caption=caption, class_="facts"
    )
