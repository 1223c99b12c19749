"""README.md of a model folder: the card's text below the front matter by which a hub files it.

The front matter follows from the config and the thumbnails alone and is written anew with every
folder, so that it names the styles that the folder has. Its scalars are JSON, which is YAML.
Imports no torch.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dualstylegan.io.files import read_limited, write_text
from dualstylegan.networks.config import CARD_FILE
from dualstylegan.portrait.config import (
    CARD_IMAGES,
    LICENCE_FILE,
    MAX_PICTURE_BYTES,
    MAX_TEXT_BYTES,
    OLD_CARD_FILE,
    THUMBNAILS,
    PortraitConfig,
    thumbnail_file,
)

# Stands for the model's folder or name in the examples of a card.
UNNAMED = "THIS FOLDER"
FENCE = "---\n"
MAX_WIDGET_PICTURES = 12
_TAGS = ("style-transfer", "portrait", "face", "stylegan", "dualstylegan")


def front_matter(config: PortraitConfig, pictured: Collection[str], base: str = "") -> str:
    """Return the YAML block, with its fences.

    Args:
        config: of the model.
        pictured: names of the styles that have a thumbnail; the first few make up the widget.
        base: address of the folder, with a slash at the end, for the picture that other sites
            show; empty: the folder has no address yet.
    """
    shown = [name for name in config.styles if name in pictured][:MAX_WIDGET_PICTURES]
    addresses = [quote(f"{THUMBNAILS}/{thumbnail_file(name)}") for name in shown]
    facts: dict[str, Any] = {
        "license": "other",
        "license_name": "research-only",
        "license_link": LICENCE_FILE,
        "library_name": "dualstylegan",
        "pipeline_tag": "image-to-image",
        "tags": [*_TAGS, config.network.generator.kind],
    }
    if shown:
        facts["thumbnail"] = base + addresses[0]
        facts["widget"] = [
            {"text": config.labels.get(name, name), "output": {"url": address}}
            for name, address in zip(shown, addresses, strict=True)
        ]
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in facts.items()]
    return f"{FENCE}{''.join(lines)}{FENCE}"


def without_front_matter(text: str) -> str:
    """Return a card's text without its YAML block, if it has one."""
    if not text.startswith(FENCE):
        return text
    _, end, body = text[len(FENCE) :].partition(f"\n{FENCE}")
    return body.lstrip("\n") if end else text


def write_card(
    folder: Path, config: PortraitConfig, text: str, pictured: Collection[str] = ()
) -> None:
    """Write README.md: the front matter, and the card's text below it."""
    write_text(folder / CARD_FILE, f"{front_matter(config, pictured)}\n{text}")


def read_card_images(folder: Path) -> dict[str, bytes]:
    """Return the pictures that the card shows, by file name (DataError if one is too large)."""
    paths = [folder / name for name in CARD_IMAGES if (folder / name).is_file()]
    return {path.name: read_limited(path, MAX_PICTURE_BYTES) for path in paths}


def read_licence(folder: Path) -> str:
    """Return the text of LICENSE.md; empty where there is none (DataError if it is too large)."""
    path = folder / LICENCE_FILE
    return read_limited(path, MAX_TEXT_BYTES).decode("utf-8", "replace") if path.is_file() else ""


def read_card(folder: Path, name: str = UNNAMED) -> str:
    """Return the card's text without its front matter; empty where there is no card.

    Args:
        folder: of the model.
        name: by which the text's examples load the model.
    """
    for file in (CARD_FILE, OLD_CARD_FILE):
        if (folder / file).is_file():
            text = read_limited(folder / file, MAX_TEXT_BYTES).decode("utf-8", "replace")
            return without_front_matter(text).replace(UNNAMED, name)
    return ""
