"""Curves of a training: a table of scalars per step, and progress on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from tasks.shared.dataframes import write_dataframe
from tasks.shared.progress import Progress
from tasks.shared.runs import CURVES_FILE


def write_curves(folder: Path, history: Sequence[Mapping[str, float]]) -> None:
    """Write the scalars of each step as a table; a cell is empty where a step has no value."""
    write_dataframe(folder / CURVES_FILE, pd.DataFrame(list(history)))


def step_progress(name: str, steps: int) -> Callable[[int, Mapping[str, float]], None]:
    """Return a function that shows each step's scalars and the time left."""
    progress = Progress(name, steps)
    first = True

    def show(step: int, scalars: Mapping[str, float]) -> None:
        nonlocal first
        if first:
            progress.done_before, first = step - 1, False
        progress(step, " ".join(f"{key} {value:.3f}" for key, value in scalars.items()))

    return show
