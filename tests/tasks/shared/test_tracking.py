"""A training in MLflow: live, resumed in its run, made again from its output, never in its way."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dualstylegan.finetuning.trainer import RunPlan
from dualstylegan.io.files import read_json
from tasks.shared.live import Live
from tasks.shared.paths import Paths
from tasks.shared.runs import find_run, training_run
from tasks.shared.tracking import connect
from tasks.shared.training import train
from tests.support.settings import shipped
from tests.support.slope import Slope as PulledWeight

OUT = Paths.adapted
PLAN = RunPlan(
    steps=6, seed=0, average_decay=0.5, save_seconds=0, picture_steps=2, fingerprint="f" * 64
)


class Killed(BaseException):
    """Ends a process, as far as a test can tell."""


class Slope(PulledWeight):
    """A weight that is pulled to random targets, and a kill at some step."""

    def __init__(self, killed_at: int = -1) -> None:
        super().__init__()
        self.killed_at = killed_at

    def step(self, step: int, rng: torch.Generator) -> dict[str, Tensor]:
        if step == self.killed_at:
            raise Killed
        return super().step(step, rng)


def written() -> dict[str, bytes]:
    return {str(p.relative_to(OUT)): p.read_bytes() for p in OUT.rglob("*") if p.is_file()}


def test_a_killed_training_goes_on_in_its_run_and_comes_back_from_its_output(
    tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_store, tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    settings = shipped()
    train("adapt", Slope(), PLAN, {})
    unwatched = written()
    with pytest.raises(Killed):
        train("adapt", Slope(killed_at=3), PLAN, {}, Live("adapt", settings))
    train("adapt", Slope(), PLAN, {}, Live("adapt", settings))
    assert written() == unwatched
    assert read_json(OUT / "run.json") == {"fingerprint": PLAN.fingerprint}

    client, experiment = connect(settings.register_.experiment)
    (run,) = client.search_runs([experiment])
    assert run.info.status == "FINISHED"
    assert run.data.params["adapt.steps"] == str(settings.adapt.steps)
    shown = client.list_artifacts(run.info.run_id, "samples/adapt")
    assert [Path(f.path).name for f in shown] == ["000002.png", "000004.png", "000006.png"]
    live = {m.step: m.value for m in client.get_metric_history(run.info.run_id, "adapt/loss")}
    assert sorted(live) == [1, 2, 3, 4, 5, 6]
    assert training_run(client, experiment, "adapt", OUT) == run.info.run_id

    client.delete_run(run.info.run_id)
    again = training_run(client, experiment, "adapt", OUT)
    assert again is not None
    assert again != run.info.run_id
    assert training_run(client, experiment, "adapt", OUT) == again
    made = {m.step: m.value for m in client.get_metric_history(again, "adapt/loss")}
    assert made == live
    assert len(client.list_artifacts(again, "samples/adapt")) == 3
    assert find_run(client, experiment, "0" * 64) is None


def test_a_store_that_refuses_costs_the_live_view_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/blocked/mlflow.db")
    (tmp_path / "blocked").write_text("no folder")
    train("adapt", Slope(), PLAN, {}, Live("adapt", shipped()))
    assert (OUT / "model.safetensors").is_file()
    assert "adapt: no live view in MLflow" in capsys.readouterr().err
