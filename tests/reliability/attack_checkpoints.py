"""Attack by checkpoints: each is refused in a sentence, within limits, and nothing is executed."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from dualstylegan.published.adapter import import_published
from dualstylegan.published.reader import CPU_SECONDS, MEMORY_BYTES
from tests.reliability.measuring import measured
from tests.reliability.strange_checkpoints import checkpoints


def attack(rounds: int, rng: random.Random, folder: Path, root: Path) -> Iterator[str]:
    """Import every hostile checkpoint; nothing is drawn, and `rounds` and `root` are not used.

    Yields:
        A line of counts, and one per fault.
    """
    canary = folder / "canary"
    faults: list[str] = []
    worst, longest, count = 0, 0.0, 0
    start = time.monotonic()
    for title, write in checkpoints(canary).items():
        path = folder / title.replace(" ", "_").replace("*", "x").replace("'", "")
        write(path)
        size = path.stat().st_size
        found = measured(partial(import_published, [path], folder / "out"), folder / "report")
        path.unlink()
        count += 1
        worst, longest = max(worst, found.peak), max(longest, found.seconds)
        if found.said != "refused":
            faults.append(f"{title}: {found.said}")
        if found.peak > MEMORY_BYTES + size or found.seconds > CPU_SECONDS:
            faults.append(f"{title}: {found.peak >> 20} MiB, {found.seconds:.0f} s")
        if canary.exists():
            faults.append(f"{title}: executed")
            canary.unlink()
    yield (
        f"{count} checkpoints: {len(faults)} faults; at most {worst >> 20} MiB, {longest:.1f} "
        f"CPU-seconds; {time.monotonic() - start:.0f} s"
    )
    yield from faults
