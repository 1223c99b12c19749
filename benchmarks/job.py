"""The main job end to end, and its share outside the method: orchestration, storage, start-up.

    python -m benchmarks.job

Runs `dvc repro` here, on whatever is stale: all of it in a fresh clone. Each stage leaves the
seconds of its own work in a set's reports/timings, written when it is done; what the whole took
beyond their sum is DVC's hashing and copying, the start of a process a stage, and imports. It is
shown by the stage that it came before.
"""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass

from dualstylegan.io.files import read_json
from tasks.shared.paths import Paths


@dataclass(frozen=True)
class Ran:
    """A stage's own seconds, and those since the stage before it ended."""

    name: str
    own: float
    before: float


def stages(begun: float) -> list[Ran]:
    """The stages that have run since, in their order."""
    found, last = [], begun
    for path in sorted(Paths.timings.glob("*.json"), key=lambda path: path.stat().st_mtime):
        ended = path.stat().st_mtime
        if ended < begun:
            continue
        own = float(read_json(path)["seconds"])
        found.append(Ran(path.stem, own, ended - own - last))
        last = ended
    return found


def main() -> None:
    """`python -m benchmarks.job`."""
    begun, clock = time.time(), time.monotonic()
    subprocess.run(["dvc", "--wait-for-lock", "repro"], check=True)
    whole = time.monotonic() - clock
    ran = stages(begun)
    print(f"{'':12} {'own':>10} {'before it':>11}")
    for stage in ran:
        print(f"{stage.name:12} {stage.own:8.1f} s {stage.before:9.1f} s {stage.own / whole:7.1%}")
    outside = whole - sum(stage.own for stage in ran)
    print(f"{'outside':12} {outside:8.1f} s {outside / whole:17.1%} of {whole:.1f} s")


if __name__ == "__main__":
    main()
