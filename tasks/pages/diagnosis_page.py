"""The page of a style set's diagnosis: a thumbnail for each portrait, and what is to be said."""

from __future__ import annotations

from collections.abc import Mapping

from PIL import Image

from tasks.pages.charts import number
from tasks.pages.diagnosis import Diagnosis, Finding, Verdict
from tasks.pages.markup import document, picture, tag, text

THUMBNAIL_PX = 160
TITLE = "Diagnosis of the style set"
WORDS = {
    Verdict.GOOD: "This set will do.",
    Verdict.DOUBTFUL: "This set may do, with doubts.",
    Verdict.USELESS: "This set will not do.",
}
TITLES = {
    Verdict.USELESS: "Of no use",
    Verdict.DOUBTFUL: "Doubtful",
    Verdict.GOOD: "Good",
}


def _card(found: Finding, image: Image.Image | None) -> str:
    shown = picture(image, f"Exemplar {found.name}", THUMBNAIL_PX) if image else ""
    figures = ", ".join(f"{name} {number(value)}" for name, value in found.figures.items())
    lines = [tag("b", text(found.name)), *map(text, found.reasons), text(figures)]
    return tag("figure", shown, tag("figcaption", "<br>".join(line for line in lines if line)))


def render(diagnosis: Diagnosis, images: Mapping[str, Image.Image]) -> str:
    """One self-contained HTML page.

    Args:
        images: aligned exemplars by name; refused portraits have none.
    """
    sections = []
    for verdict, title in TITLES.items():
        found = [one for one in diagnosis.findings if one.verdict is verdict]
        if found:
            cards = tag("div", *(_card(one, images.get(one.name)) for one in found), class_="strip")
            sections.append(tag("section", tag("h2", f"{title} ({len(found)})"), cards))
    header = tag(
        "header",
        tag("h1", text(WORDS[diagnosis.verdict])),
        tag("p", text(" ".join(diagnosis.reasons)), class_="lede"),
    )
    return document(TITLE, header, tag("main", *sections))
