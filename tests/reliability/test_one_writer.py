"""One process writes an output at a time; a second one is told which, or finds it made."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dualstylegan.errors import InUseError
from dualstylegan.io.files import atomic_directory, write_json
from dualstylegan.io.locks import exclusive, lock_file
from tasks.register import register
from tasks.serving.versions import DIGEST
from tasks.shared.paths import Paths
from tasks.shared.tracking import connect
from tests.conftest import ROOT
from tests.reliability.projects import sampler_project
from tests.reliability.running import COMMAND, running
from tests.support.portrait_models import tiny_model
from tests.support.settings import shipped

HOLD = (
    "import pathlib, sys, time; from dualstylegan.io.locks import exclusive\n"
    "with exclusive(pathlib.Path(sys.argv[1])):\n"
    "    print('held', flush=True); time.sleep(600)\n"
)


def hold(path: Path) -> subprocess.Popen[str]:
    """Hold the right to write a path in another process."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_holder_is_named_and_its_death_frees_the_lock(tmp_path: Path) -> None:
    path = tmp_path / ("model" * 40)
    holder = hold(path)
    try:
        fault = rf"in use by process {holder.pid}\b"
        with pytest.raises(InUseError, match=fault), exclusive(path, patience=0.1):
            pass
        with exclusive(tmp_path / "another", patience=0):
            pass
    finally:
        holder.kill()
        holder.wait()
    assert lock_file(path).exists()
    with exclusive(path, patience=1), exclusive(path), atomic_directory(path):
        assert lock_file(path).read_text() == str(os.getpid())
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_second_process_of_a_stage_is_refused(tmp_path: Path) -> None:
    folder = sampler_project(tmp_path / "project")
    holder = hold(folder / "data/sets/demo/runs/sampler")
    try:
        with running(["-m", "tasks.sampler"], folder) as run:
            assert run.process.wait(60) == 2
            told = run.errors.read_text()
    finally:
        holder.kill()
        holder.wait()
    assert told.startswith("sampler: InUseError: data/sets/demo/runs/sampler: in use by process")
    assert f"process {holder.pid};" in told
    assert told.count("\n") == 1


def test_of_two_commands_for_one_folder_one_is_refused(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path / "model")
    (tmp_path / "photo.png").write_bytes((ROOT / "docs/strip.jpg").read_bytes())
    arguments = ["-c", COMMAND, "add-style", "photo.png", "--name", "mine", "--no-align"]
    arguments += ["-m", "model", "-o", "out"]
    holder = hold(tmp_path / "out")
    try:
        with running(arguments, tmp_path) as run:
            assert run.process.wait(60) == 2
            told = run.errors.read_text()
    finally:
        holder.kill()
        holder.wait()
    assert told.startswith(f"error: out: in use by process {holder.pid};")
    assert not (tmp_path / "out").exists()


def test_register_goes_on_in_the_run_of_a_killed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tiny_model(resolution=64).save_pretrained(Paths.portrait)
    figure = {"value": 0.2, "low": 0.1, "high": 0.3}
    write_json(Paths.metrics, {"style_distance": figure, "identity_same": figure})
    code = (
        "import os, signal, tasks.register as stage\n"
        "from tests.support.settings import shipped\n"
        "stage.training_run = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "stage.register(shipped())\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    rule = shipped().register_
    client, experiment = connect(rule.experiment)
    (run,) = client.search_runs([experiment])
    assert run.info.status == "RUNNING"
    assert (register(shipped())["run_id"], register(shipped())["version"]) == (
        run.info.run_id,
        "1",
    )
    (run,) = client.search_runs([experiment], f"tags.{DIGEST} != ''")
    assert run.info.status == "FINISHED"


def test_runs_of_dead_processes_are_closed(
    tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.shared.runs import close_orphans, take_run

    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_store, tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    client, experiment = connect("runs")
    names = ("mine", "of the dead", "of another machine", "of before")
    runs = {name: client.create_run(experiment, run_name=name).info.run_id for name in names}
    take_run(client, runs["mine"])
    mine = client.get_run(runs["mine"]).data.tags["process"]
    host, number, start = mine.rsplit(" ", 2)
    client.set_tag(runs["of the dead"], "process", f"{host} {number} {int(start) - 1}")
    client.set_tag(runs["of another machine"], "process", f"elsewhere {number} 1")
    close_orphans(client, experiment)
    statuses = [client.get_run(runs[name]).info.status for name in names]
    assert statuses == ["RUNNING", "KILLED", "RUNNING", "RUNNING"]
