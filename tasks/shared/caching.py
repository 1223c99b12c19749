"""Cache of results on disk, one entry per portrait or training.

An entry is written as soon as its result exists, so that a stage that is killed loses one result
at most. Its key digests everything that the result depends on; a damaged entry is computed again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image

from dualstylegan.errors import DataError
from dualstylegan.io.files import read_json, write_bytes, write_json
from dualstylegan.io.images import png_bytes
from tasks.shared.paths import Paths

Result = TypeVar("Result")
Make = Callable[[], tuple[Image.Image | None, dict[str, Any]]]

MAX_WORKERS = 4


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
        intact = record["sha256"] == _entry_digest(Entry(data, facts))
    except (DataError, OSError, KeyError, TypeError, ValueError):
        return None
    return Entry(data, facts) if intact else None


def write_entry(folder: Path, key: str, entry: Entry) -> None:
    """Write an entry: KEY.bin with the bytes, then KEY.json with the facts and a digest of both."""
    if entry.data is not None:
        write_bytes(folder / f"{key}.bin", entry.data)
    held = {"facts": entry.facts, "data": entry.data is not None, "sha256": _entry_digest(entry)}
    write_json(folder / f"{key}.json", held)


def _entry_digest(entry: Entry) -> str:
    """Compute the SHA-256 of an entry's facts, as JSON orders them, and of its bytes."""
    digest = hashlib.sha256(json.dumps(entry.facts, sort_keys=True, allow_nan=False).encode())
    digest.update(b"-" if entry.data is None else entry.data)
    return digest.hexdigest()


def cached_image(folder: Path, key: str, make: Make) -> Entry:
    """Return the PNG file and the facts of a key; call `make` unless they are cached.

    Args:
        folder: of the cache.
        key: see `cache_key`.
        make: returns the image, or None, and facts as JSON values.
    """
    entry = read_entry(folder, key)
    if entry is None:
        image, facts = make()
        data = None if image is None else png_bytes(image)
        write_entry(folder, key, Entry(data, facts))
        # As it is read: JSON orders keys and knows no tuples, and both runs return the same.
        entry = read_entry(folder, key)
        assert entry is not None
    return entry


def cached_images(folder: Path, items: Sequence[tuple[str, Make]]) -> Iterator[Entry]:
    """Yield the entry of each key and maker in turn, several made at once; see `cached_image`.

    Torch works on one thread for each, so that a picture's bytes do not depend on their number.
    """
    import torch

    workers = min(MAX_WORKERS, os.cpu_count() or 1)
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield from pool.map(lambda item: cached_image(folder, *item), items)
    finally:
        pool.shutdown(cancel_futures=True)


def cached_items(
    folder: Path,
    keys: Sequence[str],
    work: Callable[[list[int]], Iterable[tuple[int, Result]]],
    *,
    dump: Callable[[Result], bytes],
    parse: Callable[[bytes], Result],
) -> list[Result]:
    """Return the results of all keys; compute those that are not cached.

    Args:
        folder: of the cache.
        keys: see `cache_key`; one per item.
        work: yields (index, result) for the indices that it is given, in any order.
        dump, parse: convert a result to bytes and back; each result returned has been through both.

    Raises:
        RuntimeError: `work` left an item out.
    """
    missing = [i for i, key in enumerate(keys) if read_entry(folder, key) is None]
    for index, result in work(missing) if missing else ():
        write_entry(folder, keys[index], Entry(dump(result), {}))
    results = []
    for key in keys:
        entry = read_entry(folder, key)
        if entry is None or entry.data is None:
            raise RuntimeError(f"no result was computed for {key}")
        results.append(parse(entry.data))
    return results
