"""A run that finds nothing to do, without a server: importing Prefect's takes ten CPU-seconds."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from dualstylegan.io.processes import guarded
from flows.graph import SET_SIGN, Step, read_graph, stage_of

SERVER = "PREFECT_API_URL"
REGISTER, PORTRAITS = "register", "portraits"


def nothing_due(targets: Sequence[str]) -> list[Step]:
    """Return the steps of the project here if all are up to date and no server waits for a run.

    A server of one's own is told of every run.
    """
    if SERVER in os.environ:
        return []
    steps = read_graph(Path(), targets)
    return [] if any(step.due for step in steps) else steps


def look_after(steps: Sequence[Step]) -> int:
    """Check sources and registry, as a run does beside its stages; return the exit code."""
    commands = []
    if any(stage_of(step.name) == PORTRAITS for step in steps):
        commands.append(["tasks.shared.sources"])
    for step in steps:
        if stage_of(step.name) == REGISTER:
            commands.append(["tasks.register", step.name.partition(SET_SIGN)[2], "--ensure"])
    for command in commands:
        done = subprocess.run(guarded([sys.executable, "-m", *command]), check=False)
        if done.returncode:
            return done.returncode
    print(f"portrait: {len(steps)} steps, all up to date")
    return 0
