"""Stage of a tiny training that is long enough to be stopped, run by ranks: its folder is here."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from dualstylegan.io.stopping import end_on_signals
from dualstylegan.networks import ranks
from tasks.shared.runner import run_stage
from tests.support.ranked import ranked_trainer

STATE, PIDS = Path("adapt/state.safetensors"), Path("pids")


def stage() -> None:
    """Note this rank's process, and train."""
    PIDS.mkdir(exist_ok=True)
    (PIDS / os.environ.get("RANK", "0")).write_text(str(os.getpid()))
    with ranks.joined(torch.device("cpu")):
        ranked_trainer("adapt", Path(), steps=100_000, passes=2, save_seconds=0).run()


if __name__ == "__main__":
    end_on_signals("")
    run_stage("ranked_stage", stage)
