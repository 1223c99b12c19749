"""Ctrl-C and SIGTERM end every door within seconds, in one line, with all that it has started."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest
import torch

from dualstylegan.io.stopping import GRACE_SECONDS
from tests.reliability.projects import sampler_project, with_dvc
from tests.reliability.running import COMMAND, Ended, Run, running, shell_code
from tests.support.standin import Project

LIMIT_SECONDS = 5.0
RUNS = "data/sets/demo/runs"


def assert_stopped(ended: Ended, number: int, line: str) -> None:
    """The process has ended with the signal's code and one line, and nothing goes on."""
    assert (ended.code, ended.left) == (shell_code(number), 0), ended
    assert ended.errors == f"{line}\n"
    assert ended.seconds < LIMIT_SECONDS


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stage_that_trains_says_that_it_goes_on(tmp_path: Path, number: int) -> None:
    folder = sampler_project(tmp_path / "project")
    with running(["-m", "tasks.sampler"], folder) as run:
        run.wait_until((folder / RUNS / ".sampler.dualstylegan.lock").exists)
        ended = run.send(number)
    line = "sampler: stopped; run it again, and it goes on where it was"
    assert_stopped(ended, number, line)
    assert not list((folder / RUNS).iterdir())


def test_a_stage_that_imports_is_stopped_in_a_line(tmp_path: Path) -> None:
    """Not in the traceback of an import: torch takes seconds."""
    folder = sampler_project(tmp_path / "project")
    with running(["-m", "tasks.sampler"], folder) as run:
        run.wait_until(lambda: imports_torch(run.process.pid))
        ended = run.send(signal.SIGINT)
    line = "sampler: stopped; run it again, and it goes on where it was"
    assert_stopped(ended, signal.SIGINT, line)


def imports_torch(pid: int) -> bool:
    """Return True once a process has mapped a library of torch."""
    return "libtorch" in Path(f"/proc/{pid}/maps").read_text()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the system tells no parent's death")
def test_a_stage_does_not_outlive_dvc(tmp_path: Path) -> None:
    """A killed `dvc repro` can end nothing itself."""
    folder = with_dvc(sampler_project(tmp_path / "project"))
    with running(["-m", "dvc", "repro", "-q"], folder) as run:
        run.wait_until((folder / RUNS / ".sampler.dualstylegan.lock").exists)
        assert any("tasks.sampler" in process.cmdline() for process in run.family())
        ended = run.send(signal.SIGKILL)
    assert (ended.code, ended.left) == (-signal.SIGKILL, 0)
    assert ended.seconds < LIMIT_SECONDS


@pytest.mark.long
def test_the_flow_ends_with_its_server_and_its_stages(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    project.write()
    (project.folder / "hold-right").touch()
    with running(["-m", "flows.portrait", "right"], project.folder, project.env) as run:
        log = project.folder / "ran.log"
        run.wait_until(lambda: log.exists() and "right" in log.read_text().split())
        before = run.errors.read_text()
        ended = run.send(signal.SIGINT)
    assert (ended.code, ended.left) == (shell_code(signal.SIGINT), 0)
    line = "portrait: stopped; run it again, and it goes on where it was\n"
    assert ended.errors.removeprefix(before) == line
    assert ended.seconds < LIMIT_SECONDS
    project.run("-m", "dvc", "--wait-for-lock", "repro", "-q", "right")
    assert (project.folder / "out/right").read_text() == "seed1;right1;"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_reader_of_published_files_ends_with_its_command(tmp_path: Path, number: int) -> None:
    torch.save({"weights": torch.zeros(8)}, tmp_path / "generator.pt")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    file, out = tmp_path / "generator.pt", tmp_path / "model"
    arguments: list[str | Path] = ["-c", COMMAND, "import-published", file, "-o", out]
    with running(arguments, tmp_path, {"TMPDIR": str(scratch)}) as run:
        run.wait_until(lambda: freeze_reader(run))
        ended = run.send(number)
        assert ended.left == 0
        assert ended.seconds < LIMIT_SECONDS
    if number == signal.SIGTERM:
        assert_stopped(ended, number, "stopped")
        assert not list(scratch.iterdir())
    assert not (tmp_path / "model").exists()


def freeze_reader(run: Run) -> bool:
    """Hold the reader process of an import still once it has started; return True then."""
    for child in psutil.Process(run.process.pid).children():
        if any("published.child" in word for word in child.cmdline()[:6]):
            child.suspend()
            return True
    return False


def test_a_program_that_cannot_unwind_is_ended(tmp_path: Path) -> None:
    """The main thread waits for another one, which waits for ever."""
    code = (
        "import threading, time\n"
        "from dualstylegan.io.stopping import end_on_signals, put_away\n"
        "end_on_signals('stopped')\n"
        "threading.Thread(target=time.sleep, args=(600,)).start()\n"
        "with put_away(lambda: open('put-away', 'w').close()):\n"
        "    open('ready', 'w').close()\n"
        "    try:\n"
        "        time.sleep(600)\n"
        "    finally:\n"
        "        time.sleep(600)\n"
    )
    with running(["-c", code], tmp_path) as run:
        run.wait_until((tmp_path / "ready").exists)
        ended = run.send(signal.SIGTERM)
    assert_stopped(ended, signal.SIGTERM, "stopped")
    assert ended.seconds > GRACE_SECONDS - 0.5
    assert (tmp_path / "put-away").exists()
