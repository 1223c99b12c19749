"""Attack by two processes that write the same output at once."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

from dualstylegan.portrait.config import read_config
from tests.conftest import ROOT
from tests.reliability.projects import sampler_project
from tests.reliability.running import COMMAND
from tests.support.portrait_models import tiny_model

REGISTER = (
    "from tasks.register import register; from tests.support.settings import shipped\n"
    "from tasks.shared.runner import run_stage\n"
    "run_stage('register', lambda: register(shipped()), timed=False)\n"
)
PREPARE = (
    "from dualstylegan.io.files import write_json; from tasks.shared.paths import Paths\n"
    "from tests.support.portrait_models import tiny_model\n"
    "tiny_model(resolution=64).save_pretrained(Paths.portrait)\n"
    "figure = {'value': 0.2, 'low': 0.1, 'high': 0.3}\n"
    "write_json(Paths.metrics, {'style_distance': figure, 'identity_same': figure})\n"
)
VERSIONS = (
    "from tasks.shared.tracking import connect; from tests.support.settings import shipped\n"
    "client, experiment = connect(shipped().register_.experiment)\n"
    "runs = client.search_runs([experiment])\n"
    "print(len(client.search_model_versions('')), len(runs),\n"
    "      sum(run.info.status == 'RUNNING' for run in runs))\n"
)


def both(
    commands: list[list[str]], folder: Path, root: Path, pause: float
) -> list[tuple[int, str]]:
    """Run two commands at once, the second a moment later; return codes and errors."""
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{ROOT}"}
    environment.setdefault("DUALSTYLEGAN_WEIGHTS", str(ROOT / "data/weights"))
    environment.pop("MLFLOW_TRACKING_URI", None)
    processes = []
    for command in commands:
        processes.append(
            subprocess.Popen(
                [sys.executable, *command], cwd=folder, env=environment, text=True,
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            )
        )  # fmt: skip
        time.sleep(pause)
    ends = [process.communicate()[1] for process in processes]
    return [(process.returncode, end) for process, end in zip(processes, ends, strict=True)]


def attack(rounds: int, rng: random.Random, folder: Path, root: Path) -> list[str]:
    """Start a stage, a command and a registration twice at once."""
    count = max(1, rounds // 3)
    lines = []
    told = whole = traces = 0
    for index in range(count):
        project = sampler_project(folder / f"stage-{index}", epochs=100)
        ends = both([["-m", "tasks.sampler"]] * 2, project, root, rng.uniform(0, 1))
        told += sum("in use by process" in errors for _, errors in ends)
        traces += sum("Traceback" in errors for _, errors in ends)
        whole += sorted(code for code, _ in ends) == [0, 2]
    lines.append(f"stage: {whole} of {count} one done and one refused; {told} told by number, "
                 f"{traces} tracebacks")  # fmt: skip
    lost = made = 0
    for index in range(count if (ROOT / "data/weights").is_dir() else 0):
        place = folder / f"styles-{index}"
        tiny_model(resolution=256).save_pretrained(place / "model")
        (place / "photo.jpg").write_bytes((ROOT / "docs/strip.jpg").read_bytes())
        shared = ["add-style", "photo.jpg", "--no-align", "-m", "model", "-o", "out", "--name"]
        commands = [["-c", COMMAND, *shared, name] for name in ("one", "two")]
        ends = both(commands, place, root, rng.uniform(0, 0.5))
        succeeded = sum(code == 0 for code, _ in ends)
        assert succeeded, ends
        added = len(set(read_config(place / "out").styles) & {"one", "two"})
        made += succeeded
        lost += succeeded - added
    lines.append(f"add-style: {made} successes of {count} pairs, {lost} styles of them lost")
    versions = []
    for index in range(count):
        place = folder / f"register-{index}"
        place.mkdir()
        both([["-c", PREPARE]], place, root, 0)
        ends = both([["-c", REGISTER]] * 2, place, root, rng.uniform(0, 2))
        environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{ROOT}"}
        done = subprocess.run(
            [sys.executable, "-c", VERSIONS], cwd=place, env=environment, capture_output=True,
            text=True, check=True,
        )  # fmt: skip
        traced = sum("Traceback" in errors for _, errors in ends)
        versions.append(f"{'/'.join(done.stdout.split()[-3:])}/{traced}")
    lines.append(f"register: versions/runs/running/tracebacks {', '.join(versions)}")
    return lines
