"""Stage `download`: the pinned weights, checked and converted, in data/weights."""

from __future__ import annotations

from pathlib import Path

from tasks.shared.runner import Progress, run_stage
from tasks.weights.downloads import PRODUCTS, fetch_all

CACHE = Path("data/cache/downloads")
OUT = Path("data/weights")


def download() -> None:
    """Make data/weights whole; a second run touches no network."""
    progress = Progress("weights", len(PRODUCTS))
    fetch_all(CACHE, OUT, lambda note, done, _: progress(done, note))


def main() -> None:
    """`python -m tasks.download`."""
    run_stage("download", download)


if __name__ == "__main__":
    main()
