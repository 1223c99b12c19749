"""Cache of results on disk, one entry per portrait or training.

An entry is written as soon as its result exists, so that a stage that is killed loses one result
at most. Its key digests everything that the result depends on; a damaged entry is computed again.
`tasks.shared.mapping` computes what is missing.
"""

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
from tasks.shared.paths import Paths

# Makes a picture, or gives none, and facts about it as JSON values.
Make = Callable[[], tuple[Image.Image | None, dict[str, Any]]]


@dataclass(frozen=True)
class Entry:
    """Bytes of a result, None where there is none, and facts about it."""

    data: bytes | None
    facts: dict[str, Any]


def cache_key(*parts: object) -> str:
    """Return a digest of everything that a result depends on.

    Args:
        parts: JSON values, such as digests of files and networks, and settings.
    """
    text = json.dumps(parts, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def weight_digests(files: Sequence[str]) -> list[str]:
    """Return the SHA-256 of files in data/weights, as their record states it.

    Raises:
        DataError: a file was not downloaded.
    """
    records = read_json(Paths.weights_record)
    missing = [name for name in files if name not in records]
    if missing:
        raise DataError(
            "weights are missing",
            file=Paths.weights,
            value=", ".join(missing),
            fix="run `python -m tasks.download`",
        )
    return [str(records[name]["sha256"]) for name in files]


def read_entry(folder: Path, key: str) -> Entry | None:
    """Return the entry of a key; None where it is missing or damaged."""
    try:
        record = read_json(folder / f"{key}.json")
        facts = dict(record["facts"])
        data = (folder / f"{key}.bin").read_bytes() if record["data"] else None
        intact = record["sha256"] == entry_digest(Entry(data, facts))
    except (DataError, OSError, KeyError, TypeError, ValueError):
        return None
    return Entry(data, facts) if intact else None


def write_entry(folder: Path, key: str, entry: Entry) -> None:
    """Write an entry: KEY.bin with the bytes, then KEY.json with the facts and a digest of both."""
    if entry.data is not None:
        write_bytes(folder / f"{key}.bin", entry.data)
    held = {"facts": entry.facts, "data": entry.data is not None, "sha256": entry_digest(entry)}
    write_json(folder / f"{key}.json", held)


def entry_digest(entry: Entry) -> str:
    """Compute the SHA-256 of an entry's facts, as JSON orders them, and of its bytes."""
    digest = hashlib.sha256(json.dumps(entry.facts, sort_keys=True, allow_nan=False).encode())
    digest.update(b"-" if entry.data is None else entry.data)
    return digest.hexdigest()
