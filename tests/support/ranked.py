"""Trainings by several ranks: real processes on the loopback, connected by gloo."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from dualstylegan.finetuning.discriminator import DiscriminatorTrainer
from dualstylegan.finetuning.step import StepOptions
from dualstylegan.finetuning.trainer import RunPlan, Trainer
from dualstylegan.networks import ranks
from tests.conftest import ROOT
from tests.support.trainings import adapt_training, small_network, style_training

MAKERS: dict[str, Any] = {"adapt": adapt_training, "style": style_training}


def state_file(folder: Path, kind: str) -> Path:
    """Return the file of a kind's saved state."""
    return folder / kind / "state.safetensors"


def ranked_trainer(
    kind: str, folder: Path, steps: int, passes: int, batch: int = 2, save_seconds: float = 1e9
) -> Trainer:
    """Return a tiny training in passes, with all that depends on batches: ADA, R1, path length."""
    options = StepOptions(accumulation=passes, path_weight=2.0, path_steps=2)
    training = MAKERS[kind](small_network(), batch=batch, step_options=options)
    steered = replace(
        training.discriminator.plan, augment=0.5, augment_target=0.3, augment_images=200, r1_steps=2
    )
    DiscriminatorTrainer.__init__(training.discriminator, training.discriminator.network, steered)
    training.buffers |= training.discriminator.buffers
    training.optimisers["discriminator"] = training.discriminator.optimiser
    plan = RunPlan(
        steps, seed=3, average_decay=0.9, save_seconds=save_seconds, picture_steps=0,
        fingerprint="x",
    )  # fmt: skip
    return Trainer(training, plan, state_file(folder, kind))


def train_all(folder: Path, steps: int, passes: int, batch: int = 2) -> None:
    """Train each kind up to a step, from its state in the folder if it has one, and save it."""
    for kind in MAKERS:
        trainer = ranked_trainer(kind, folder, steps, passes, batch)
        trainer.run()
        trainer.save()


def train_by_ranks(count: int, folder: Path, steps: int, passes: int, batch: int = 2) -> None:
    """Do the same with several processes."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    shared = {
        ranks.MARK: "test", "WORLD_SIZE": str(count), "OMP_NUM_THREADS": "1",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    command = [sys.executable, "-m", __name__, str(folder), *map(str, (steps, passes, batch))]
    started = []
    for rank in range(count):
        own = {**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}
        started.append(subprocess.Popen(command, env=own, cwd=ROOT))
    try:
        assert [process.wait(300) for process in started] == [0] * count
    finally:
        for process in started:
            process.kill()


def train_by_torchrun(count: int, folder: Path, steps: int, passes: int, batch: int = 2) -> None:
    """Do the same with torch's own launcher."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(count), "-m", __name__, str(folder)]
    own = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    given = [*command, *map(str, (steps, passes, batch))]
    subprocess.run(given, env=own, cwd=ROOT, check=True, timeout=300)


def main() -> None:
    """Train as one of several ranks."""
    folder, steps, passes, batch = sys.argv[1:]
    torch.set_num_threads(1)
    with ranks.joined(torch.device("cpu")):
        train_all(Path(folder), int(steps), int(passes), int(batch))


if __name__ == "__main__":
    main()
