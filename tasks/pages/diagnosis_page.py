"""Diagnosis page: verdict on the style set, and a thumbnail with remarks per portrait."""

from __future__ import annotations

from collections.abc import Mapping

from PIL import Image

from tasks.pages.charts import number
from tasks.pages.diagnosis import Diagnosis, Finding, Verdict
from tasks.pages.markup import document, picture, tag, text

THUMBNAIL_PX = 160
TITLE = "Diagnosis of the style set"
WORDS = {
    Verdict.GOOD: "This style set is fit for training.",
    Verdict.DOUBTFUL: "This style set is doubtful.",
    Verdict.USELESS: "This style set is not fit for training.",
}
TITLES = {
    Verdict.USELESS: "Useless",
    Verdict.DOUBTFUL: "Doubtful",
    Verdict.GOOD: "Good",
}


def _card(finding: Finding, image: Image.Image | None) -> str:
    shown = picture(image, f"Exemplar {finding.name}", THUMBNAIL_PX) if image else ""
    figures = ", ".join(f"{name} {number(value)}" for name, value in finding.figures.items())
    lines = [tag("b", text(finding.name)), *map(text, finding.reasons), text(figures)]
    return tag("figure", shown, tag("figcaption", "<br>".join(line for line in lines if line)))


def render(diagnosis: Diagnosis, images: Mapping[str, Image.Image]) -> str:
    """Render one self-contained HTML page.

    Args:
        images: aligned exemplars by name; refused portraits have none.
    """
    sections = []
    for verdict, title in TITLES.items():
        findings = [one for one in diagnosis.findings if one.verdict is verdict]
        if findings:
            cards = tag(
                "div", *(_card(one, images.get(one.name)) for one in findings), class_="strip"
            )
            sections.append(tag("section", tag("h2", f"{title} ({len(findings)})"), cards))
    header = tag(
        "header",
        tag("h1", text(WORDS[diagnosis.verdict])),
        tag("p", text(" ".join(diagnosis.reasons)), class_="lede"),
    )
    return document(TITLE, header, tag("main", *sections))
