"""The flow `base`: the embedded base models are trained, a DVC project of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow

from flows.graph import read_graph
from flows.parameters import Retries
from flows.processes import Children
from flows.runs import FLOW, TIMEOUT_SECONDS
from flows.stages import Summary, run_steps

BASE = Path("tasks/base")
TRAINING_SECONDS = 14 * TIMEOUT_SECONDS


@flow(name="base", **FLOW | {"timeout_seconds": TRAINING_SECONDS})
def base(retries: Retries = 1, folder: str | None = None) -> dict[str, Any]:
    """Train the base models; it takes days on a CPU, and a killed run goes on where it was.

    Args:
        retries: attempts after a failed one, per stage.
        folder: of the project; by default the working folder.

    Returns:
        What was made and in which time: see `Summary`.

    Raises:
        StageFailed: a stage failed after its retries.
    """
    project, summary = str((Path(folder or ".") / BASE).resolve()), Summary()
    try:
        run_steps(read_graph(project), project, retries, summary)
    except Exception:
        raise
    except BaseException:  # a signal
        Children.end()
        raise
    return summary.as_dict()
