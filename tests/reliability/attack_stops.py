"""Attack by signals at random moments, on every door."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import torch

from tests.conftest import ROOT
from tests.reliability.projects import sampler_project, with_dvc
from tests.reliability.running import COMMAND, Ended, Run, running
from tests.reliability.writers import content
from tests.support.portrait_models import tiny_model
from tests.support.standin import Project

LIMIT_SECONDS = 5.0
PATIENCE_SECONDS = 12.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
Door = Callable[[Path, Path], Iterator[Run]]


@contextmanager
def stage(folder: Path, root: Path) -> Iterator[Run]:
    """A stage that trains."""
    project = sampler_project(folder / "project")
    with running(["-m", "tasks.sampler"], project, root=root) as run:
        yield run


@contextmanager
def repro(folder: Path, root: Path) -> Iterator[Run]:
    """`dvc repro`, once its stage runs."""
    project = with_dvc(sampler_project(folder / "project"))
    with running(["-m", "dvc", "repro", "-q"], project, root=root) as run:
        run.wait_until(lambda: any("tasks.sampler" in p.cmdline() for p in run.family()))
        yield run


@contextmanager
def flow(folder: Path, root: Path) -> Iterator[Run]:
    """The flow, once a stage runs."""
    project = Project(folder / "project")
    project.write()
    (project.folder / "hold-right").touch()
    log = project.folder / "ran.log"
    environment = {**project.env, "PYTHONPATH": str(root)}
    with running(["-m", "flows.portrait", "right"], project.folder, environment, root) as run:
        run.wait_until(lambda: log.exists() and "right" in log.read_text().split())
        yield run


@contextmanager
def add_style(folder: Path, root: Path) -> Iterator[Run]:
    """The command `add-style`."""
    folder.mkdir(parents=True)
    tiny_model(resolution=256).save_pretrained(folder / "model")
    (folder / "photo.jpg").write_bytes((root / "docs/strip.jpg").read_bytes())
    arguments = [
        "add-style",
        "photo.jpg",
        "--no-align",
        "--name",
        "new",
        "-m",
        "model",
        "-o",
        "out",
    ]
    environment = {"DUALSTYLEGAN_WEIGHTS": str(ROOT / "data/weights")}
    with running(["-c", COMMAND, *arguments], folder, environment, root) as run:
        yield run


@contextmanager
def import_published(folder: Path, root: Path) -> Iterator[Run]:
    """The command `import-published`, its reader held still."""
    scratch = folder / "scratch"
    scratch.mkdir(parents=True)
    torch.save({"weights": torch.zeros(8)}, folder / "generator.pt")
    arguments = ["-c", COMMAND, "import-published", "generator.pt", "-o", "model"]
    with running(arguments, folder, {"TMPDIR": str(scratch)}, root) as run:
        run.wait_until(lambda: hold_reader(run))
        yield run


def hold_reader(run: Run) -> bool:
    """Hold the reader process of an import still; return True once it is."""
    for child in psutil.Process(run.process.pid).children():
        if any("published.child" in word for word in child.cmdline()[:12]):
            child.suspend()
            return True
    return False


@contextmanager
def serve(folder: Path, root: Path) -> Iterator[Run]:
    """The command `serve`."""
    folder.mkdir(parents=True)
    tiny_model().save_pretrained(folder / "model")
    arguments = ["serve", "--model", "model", "--port", "0"]
    with running(["-c", COMMAND, *arguments], folder, root=root) as run:
        yield run


DOORS = (stage, repro, flow, add_style, import_published, serve)
# Longest wait before the signal: into imports, loading and work.
MOMENTS = {"stage": 8.0, "add_style": 8.0, "serve": 8.0}


def attack(rounds: int, rng: random.Random, folder: Path, root: Path) -> Iterator[str]:
    """Stop every door by every signal at random moments; yield the figures of each."""
    for door in DOORS:
        for number in SIGNALS:
            count = rounds if door is not flow else max(1, rounds // 3)
            ends: list[Ended] = []
            for index in range(count):
                place = folder / f"{door.__name__}-{number}-{index}"
                with door(place, root) as run:
                    # the interpreter's own start is not the project's
                    wait_until_obeyed(run)
                    time.sleep(rng.uniform(0, MOMENTS.get(door.__name__, 2.0)))
                    if run.process.poll() is None:
                        before = run.errors.read_text().count("\n")
                        end = run.send(number, PATIENCE_SECONDS, group=number == signal.SIGINT)
                        said = "\n".join(end.errors.splitlines()[before:])
                        ends.append(Ended(end.code, end.seconds, said, end.left))
            yield f"{door.__name__} {signal.Signals(number).name}: {summary(ends, number)}"


def wait_until_obeyed(run: Run) -> None:
    """Wait until a program catches SIGTERM; DVC, which catches none, and other systems at once."""
    status = Path(f"/proc/{run.process.pid}/status")
    if status.is_file() and "dvc" not in psutil.Process(run.process.pid).cmdline():
        run.wait_until(lambda: catches_termination(status.read_text()))


def catches_termination(status: str) -> bool:
    """Return True for the status of a process, as Linux tells it, with a handler of SIGTERM."""
    mask = status.partition("SigCgt:\t")[2].partition("\n")[0]
    return bool(int(mask or "0", 16) >> (signal.SIGTERM - 1) & 1)


def summary(ends: list[Ended], number: int) -> str:
    """Return the figures of stopped processes."""
    # a process that the signal ends is told by shells in the same way
    code = 128 + number
    soon = sum(end.seconds < LIMIT_SECONDS and end.left == 0 for end in ends)
    coded = sum(end.code in (code, -number) for end in ends)
    longest = max((end.seconds for end in ends), default=0)
    said = max((end.errors.strip().count("\n") + 1 for end in ends), default=0)
    traces = sum("Traceback" in end.errors for end in ends)
    return (
        f"{soon} of {len(ends)} ended with all they had started in 5 s (longest {longest:.1f} s), "
        f"{coded} with code {code}, at most {said} lines, {traces} tracebacks"
    )


def attack_by_kills(rounds: int, rng: random.Random, folder: Path, root: Path) -> list[str]:
    """Kill a stage at random moments, run it again, and compare its outputs byte by byte."""
    whole = sampler_project(folder / "whole", epochs=20)
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, "-m", "tasks.sampler"]
    start = time.monotonic()
    subprocess.run(command, cwd=whole, env=environment, check=True, capture_output=True)
    seconds = time.monotonic() - start
    expected = content(whole / "data/sets/demo/models")
    same = clean = 0
    for index in range(rounds):
        project = sampler_project(folder / f"killed-{index}", epochs=20)
        for _ in range(2):
            with running(["-m", "tasks.sampler"], project, root=root) as run:
                time.sleep(rng.uniform(0.3, 1.0) * seconds)
                run.send(signal.SIGKILL)
        subprocess.run(command, cwd=project, env=environment, check=True, capture_output=True)
        same += content(project / "data/sets/demo/models") == expected
        clean += not [p for p in project.rglob(".*") if p.suffix in (".tmp", ".lock")]
    return [f"{same} of {rounds} equal to the byte after two kills, {clean} without leftovers"]
