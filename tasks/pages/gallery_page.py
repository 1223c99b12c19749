"""Gallery page: every style set with its best results, its figures and the way to its model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dualstylegan.evaluation.bootstrap import Interval
from tasks.pages.markup import document, section, tag, text
from tasks.pages.page import Transfer, hero_strip, tiles

TITLE = "Style sets"
LEDE = (
    "Each set of exemplars has a model of its own. The images show faces that no training has "
    "seen, selected by the measures, at most one per exemplar."
)


@dataclass(frozen=True)
class Card:
    """A style set on the page.

    Attributes:
        name: of the set.
        title: heading of its report.
        styles: number of exemplars that were trained on.
        model: address of its champion in the registry.
        results: its best results.
        figures: measures of its model.
    """

    name: str
    title: str
    styles: int
    model: str
    results: Sequence[Transfer]
    figures: Mapping[str, Interval]


def _card(card: Card, report: str) -> str:
    command = f"dualstylegan transfer photo.jpg --model set:{card.name} -o out.png"
    return section(
        card.name,
        card.name,
        f"{card.title}. {card.styles} exemplars.",
        hero_strip(card.results),
        tiles(card.figures),
        tag(
            "p", tag("a", "Report of this set", href=report), f", registered as {text(card.model)}"
        ),
        tag("pre", tag("code", text(command)), tabindex=0),
    )


def render(cards: Sequence[Card], reports: Mapping[str, str]) -> str:
    """Render the page: one HTML string without scripts; it links to the reports on this disk.

    Args:
        cards: style sets in the order of the page.
        reports: address of each set's report, relative to the page, by the set's name.
    """
    links = (tag("li", tag("a", text(card.name), href=f"#{card.name}")) for card in cards)
    header = tag(
        "header",
        tag("h1", text(TITLE)),
        tag("p", text(LEDE), class_="lede"),
        tag("nav", tag("ul", *links), aria_label="Style sets"),
    )
    body = tag("main", *(_card(card, reports[card.name]) for card in cards))
    return document(TITLE, header, body)
