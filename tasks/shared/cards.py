"""Cards of style sets: what the gallery shows of each, written by its stage `report`."""

from __future__ import annotations

from pathlib import Path

from dualstylegan.evaluation.bootstrap import Interval
from dualstylegan.io.files import atomic_directory, read_json, write_json
from dualstylegan.io.images import read_image, write_png
from tasks.pages.gallery_page import Card
from tasks.pages.page import Transfer

FACTS = "card.json"
PICTURES = ("face", "exemplar", "result")


def write_card(folder: Path, card: Card) -> None:
    """Write a card: its facts as JSON, and the pictures of its results."""
    with atomic_directory(folder) as out:
        for number, shown in enumerate(card.results):
            for kind in PICTURES:
                write_png(out / f"{number}-{kind}.png", getattr(shown, kind))
        facts = {
            "name": card.name,
            "title": card.title,
            "styles": card.styles,
            "model": card.model,
            "results": [[shown.content, shown.style] for shown in card.results],
            "figures": {name: figure.as_dict() for name, figure in card.figures.items()},
        }
        write_json(out / FACTS, facts)


def read_card(folder: Path) -> Card:
    """Read a card that `write_card` wrote."""
    facts = read_json(folder / FACTS)
    results = [
        Transfer(
            content, style, *(read_image(folder / f"{number}-{kind}.png") for kind in PICTURES)
        )
        for number, (content, style) in enumerate(facts["results"])
    ]
    figures = {name: Interval(**figure) for name, figure in facts["figures"].items()}
    return Card(facts["name"], facts["title"], facts["styles"], facts["model"], results, figures)
