"""Command line of the flows, checked before Prefect is imported."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from dualstylegan.errors import DualStyleGANError
from flows.graph import check_targets, stage_names

FAULT = 2


@dataclass(frozen=True)
class Arguments:
    """Arguments of a flow.

    Attributes:
        targets: stages to reach; none stands for all.
        retries: attempts after a failed one, per stage.
        remote: DVC remote to push to afterwards.
    """

    targets: tuple[str, ...] = ()
    retries: int = 1
    remote: str | None = None


def parse() -> Arguments:
    """Parse `[STAGE ...] [--retries N] [--remote NAME]`; a fault ends the process with code 2."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.portrait", description="Bring the pipeline up to date with Prefect."
    )
    parser.add_argument("targets", nargs="*", metavar="STAGE", help="stages to reach; default: all")
    parser.add_argument(
        "--retries", type=int, default=Arguments.retries, help="attempts after a failed one"
    )
    parser.add_argument("--remote", help="DVC remote to push to afterwards")
    given = parser.parse_args()
    try:
        check_targets(given.targets, stage_names(Path()))
    except DualStyleGANError as error:
        print(f"portrait: {type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(FAULT)
    return Arguments(tuple(given.targets), given.retries, given.remote)
