"""The main job end to end, and its share outside the method: orchestration, storage, start-up.

    python -m benchmarks.job

Runs `dvc repro` here, on whatever is stale: all of it in a fresh clone. Each stage leaves the
seconds of its own work in data/reports/timings; what the whole took beyond their sum is DVC's
hashing and copying, the start of a process a stage, and imports.
"""

from __future__ import annotations

import subprocess
import time

from dualstylegan.files import read_json
from tasks.common import Paths


def main() -> None:
    """`python -m benchmarks.job`."""
    begun, clock = time.time(), time.monotonic()
    subprocess.run(["dvc", "--wait-for-lock", "repro"], check=True)
    whole = time.monotonic() - clock
    ran = [path for path in sorted(Paths.timings.glob("*.json")) if path.stat().st_mtime > begun]
    seconds = {path.stem: float(read_json(path)["seconds"]) for path in ran}
    for stage, taken in sorted(seconds.items(), key=lambda item: -item[1]):
        print(f"{stage:12} {taken:8.1f} s {taken / whole:7.1%}")
    outside = whole - sum(seconds.values())
    print(f"{'outside':12} {outside:8.1f} s {outside / whole:7.1%} of {whole:.1f} s")


if __name__ == "__main__":
    main()
