"""A pipeline run in MLflow: opened by the first stage, gone on with, closed by the last."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dualstylegan.errors import DataError
from tasks.shared.parents import STYLE_SET
from tasks.shared.paths import Paths
from tasks.shared.pipeline import GRAPH, read_pipeline
from tasks.shared.runner import load_settings, run_stage
from tasks.shared.tracking import connect
from tests.support.settings import shipped, write_params

SETTINGS = shipped()


@pytest.fixture
def project(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "one"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(empty_store, folder)
    write_params(folder, {})
    GRAPH.write_text("stages: {}\n")
    Path("dvc.lock").write_text(
        "schema: '2.0'\nstages:\n  align@demo:\n    cmd: x\n    outs:\n"
        "    - path: data/sets/demo/aligned\n"
        f"      md5: {'a' * 32}.dir\n      nfiles: 3\n      size: 30\n"
    )
    return folder


def stage(name: str, work: Callable[[], object] = lambda: None) -> None:
    """Run a stage as its process does."""
    load_settings([])
    run_stage(name, work)


def runs() -> tuple[list[Any], list[Any]]:
    """Return the runs of pipelines and of stages, the oldest first."""
    client, experiment = connect(SETTINGS.register_.experiment)
    found = client.search_runs([experiment], order_by=["attributes.start_time ASC"])
    parents = [run for run in found if "pipeline" in run.data.tags]
    return parents, [run for run in found if "mlflow.parentRunId" in run.data.tags]


def test_stages_of_one_pipeline_run_have_one_parent(project: Path) -> None:
    began = time.time_ns() // 1_000_000
    stage("align", lambda: time.sleep(0.2))
    ((parent,), []) = runs()
    assert parent.info.status == "RUNNING"
    assert parent.info.run_name.startswith(f"{Paths.set_name()} 20")
    assert parent.data.tags[STYLE_SET] == Paths.set_name()
    assert parent.data.params["finetune.steps"] == str(SETTINGS.finetune.steps)
    assert parent.data.tags["mlflow.user"]
    stage("evaluate")
    stage("register")
    ((parent,), (align, evaluate, register)) = runs()
    assert parent.info.status == "FINISHED"
    assert [run.info.run_name for run in (align, evaluate, register)] == [
        "align", "evaluate", "register",
    ]  # fmt: skip
    assert began <= parent.info.start_time <= align.info.start_time <= evaluate.info.start_time
    assert align.info.end_time - align.info.start_time >= 200
    assert align.data.metrics["seconds"] >= 0.2
    assert align.data.tags["mlflow.source.name"] == "tasks/align.py"
    (read,) = evaluate.inputs.dataset_inputs
    assert (read.dataset.name, read.dataset.digest) == ("aligned", "a" * 32 + ".dir")
    stage("report")
    ((parent,), children) = runs()
    assert (parent.info.status, len(children)) == ("FINISHED", 4)
    stage("align")
    assert len(runs()[0]) == 2


def test_a_failed_or_killed_run_is_gone_on_with(project: Path) -> None:
    def fail() -> None:
        raise DataError("no faces")

    def stop() -> None:
        raise KeyboardInterrupt

    stage("portraits")
    with pytest.raises(SystemExit):
        stage("align", fail)
    ((parent,), children) = runs()
    assert parent.info.status == "FAILED"
    assert [run.info.status for run in children] == ["FINISHED", "FAILED"]
    with pytest.raises(SystemExit):
        stage("align", stop)
    assert runs()[0][0].info.status == "RUNNING"
    stage("align")
    stage("report")
    ((again,), children) = runs()
    assert (again.info.run_id, again.info.status) == (parent.info.run_id, "FINISHED")
    states = [run.info.status for run in children if run.info.run_name == "align"]
    assert states == ["FAILED", "KILLED", "FINISHED"]


def test_other_settings_and_copies_begin_anew(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage("portraits")
    write_params(project, {"runtime": {"batch": 2}})
    stage("align")
    assert len(runs()[0]) == 1
    write_params(project, {"align": {"size": 128}})
    stage("align")
    ((first, second), _) = runs()
    assert (first.info.status, second.info.status) == ("FINISHED", "RUNNING")
    monkeypatch.chdir(shutil.copytree(project, tmp_path / "two"))
    assert read_pipeline() is None
    Paths.pipeline.write_text("{")
    assert read_pipeline() is None


def test_a_server_that_is_gone_costs_one_line(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    begun = time.process_time()
    stage("align")
    assert time.process_time() - begun < 2
    told = capsys.readouterr().err
    assert told.startswith("no run of the pipeline in MLflow: http://127.0.0.1:9: MLflow's server")
    assert told.count("\n") == 1
    assert (Paths.timings / "align.json").is_file()
