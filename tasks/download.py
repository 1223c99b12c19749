"""Stage `download`: the pinned weights, checked and converted, in data/weights."""

from __future__ import annotations

from pathlib import Path

from dualstylegan.downloads import Progress, fetch_all

CACHE = Path("data/cache/downloads")
OUT = Path("data/weights")


def download(progress: Progress | None = None) -> None:
    """Make data/weights whole; a second run touches no network."""
    fetch_all(CACHE, OUT, progress)


def main() -> None:
    """`python -m tasks.download`."""
    from tasks.common import run_stage

    run_stage("download", lambda: download(print))


if __name__ == "__main__":
    main()
