"""Stage `settings`: what decides about the results of a style set, in a file that DVC tracks.

The stages themselves read params.yaml. This file holds the same settings resolved, so that one that
a set overrides makes this set's stages stale, and one that all share those of every set.
"""

from __future__ import annotations

from dualstylegan.io.files import write_json
from tasks.shared.paths import Paths
from tasks.shared.runner import load_settings, run_stage
from tasks.shared.sets import tracked


def main() -> None:
    """Run `python -m tasks.settings [SET]`."""
    settings = load_settings()
    run_stage("settings", lambda: write_json(Paths.settings, tracked(settings)), timed=False)


if __name__ == "__main__":
    main()
