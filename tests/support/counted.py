"""Computation of a moment over files, opened by workers of a cluster: each is worth a line."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tasks.shared.at_once import Tick
from tasks.shared.caching import Entry, cache_key
from tasks.shared.mapping import Computation
from tasks.shared.paths import Paths
from tasks.shared.settings import Settings

# Lines of name and process: one when a picture is begun, one when it is done.
LOG = Path("begun"), Path("done")
SECONDS = Path("seconds")


def letters_of(text: str, seconds: float = 0.0) -> list[str]:
    """Write a file per letter, named a, b, c and so on; return the names."""
    names = [chr(ord("a") + i) for i in range(len(text))]
    Paths.portraits.mkdir(parents=True, exist_ok=True)
    for name, letter in zip(names, text, strict=True):
        (Paths.portraits / name).write_text(letter)
    SECONDS.write_text(str(seconds))
    return names


def told(log: Path) -> list[tuple[str, int]]:
    """Return the names and processes in a log."""
    lines = log.read_text().splitlines() if log.is_file() else []
    return [(name, int(pid)) for name, pid in (line.split() for line in lines)]


class CountedLetters(Computation):
    """Digests letters, read when it is opened or asked for, in so many seconds each."""

    stage = "letters"

    @classmethod
    def of_set(cls, settings: Settings) -> CountedLetters:
        return cls()

    def __init__(self) -> None:
        self.read = {path.name: path.read_text() for path in Paths.portraits.iterdir()}

    def keys(self, names: Sequence[str]) -> list[str]:
        return [cache_key(self.stage, name, self.read[name]) for name in names]

    def compute(self, names: Sequence[str], tick: Tick) -> Iterator[Entry]:
        for name in names:
            _tell(LOG[0], name)
            time.sleep(float(SECONDS.read_text()))
            yield Entry(hashlib.sha256(self.read[name].encode()).digest(), {"letter": name})
            _tell(LOG[1], name)


def _tell(log: Path, name: str) -> None:
    with log.open("a") as handle:
        handle.write(f"{name} {os.getpid()}\n")
