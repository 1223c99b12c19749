"""Pictures made one by one, kept by what they were made of: a stage that is killed loses one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from dualstylegan.errors import DataError
from dualstylegan.io.files import read_json, write_bytes, write_json
from dualstylegan.io.images import png_bytes

Make = Callable[[], tuple[Image.Image | None, dict[str, Any]]]


@dataclass(frozen=True)
class Kept:
    """A picture as a PNG file, or None where none could be made, and facts about it."""

    png: bytes | None
    facts: dict[str, Any]


def cache_key(*parts: object) -> str:
    """A digest of everything that a picture depends on; parts must be fit for JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def weight_digests(weights: Path, files: Sequence[str]) -> list[str]:
    """SHA-256 of weight files, as their provenance has it.

    Raises:
        DataError: the weights were not downloaded.
    """
    records = read_json(weights / "provenance.json")
    missing = [name for name in files if name not in records]
    if missing:
        raise DataError(
            "weights are missing", file=weights, value=missing, fix="run `python -m tasks.download`"
        )
    return [str(records[name]["sha256"]) for name in files]


def cached(folder: Path, key: str, make: Make) -> Kept:
    """The picture and the facts of `key`, made unless they are there and whole.

    Args:
        folder: where they are kept as KEY.png and KEY.json.
        key: see `cache_key`.
        make: gives the picture, or None, and facts that are fit for JSON.
    """
    picture, record = folder / f"{key}.png", folder / f"{key}.json"
    try:
        written = read_json(record)
        png = None if written["sha256"] is None else picture.read_bytes()
        if png is None or hashlib.sha256(png).hexdigest() == written["sha256"]:
            return Kept(png, written["facts"])
    except (DataError, OSError, KeyError, TypeError):
        pass
    image, facts = make()
    png = None if image is None else png_bytes(image)
    if png is not None:
        write_bytes(picture, png)
    digest = None if png is None else hashlib.sha256(png).hexdigest()
    write_json(record, {"facts": facts, "sha256": digest})
    return Kept(png, facts)
