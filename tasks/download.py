"""Stage `download`: the pinned weights, checked and converted, in data/weights."""

from __future__ import annotations

from tasks.shared.paths import Paths
from tasks.shared.progress import Progress
from tasks.shared.runner import run_stage
from tasks.weights.downloads import PRODUCTS, fetch_all


def download() -> None:
    """Complete data/weights; a second run needs no network."""
    progress = Progress("download", len(PRODUCTS), "files")
    fetch_all(Paths.downloads, Paths.weights, lambda note, done, _: progress(done, note))


def main() -> None:
    """Run `python -m tasks.download`."""
    run_stage("download", download, of_set=False)


if __name__ == "__main__":
    main()
