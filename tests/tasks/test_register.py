"""Registration: one version per content, the alias on the best, and serving."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from dualstylegan.errors import DataError
from dualstylegan.io.files import read_json, write_json
from tasks.register import (
    FIRST_IDENTITY_MEASURE,
    IDENTITY_MEASURE,
    better,
    comparable,
    ensure,
    register,
)
from tasks.shared.dataframes import write_dataframe
from tasks.shared.paths import Paths
from tasks.shared.tracking import connect, find_run
from tests.flows.test_doors import wait_for
from tests.support.portrait_models import tiny_model
from tests.support.settings import shipped
from tests.support.standin import free_port

RULE = shipped().register_


def figures(kid: float, identity: float) -> dict[str, float]:
    return {"kid_results": kid, "identity_same": identity}


@pytest.mark.parametrize(
    ("new", "old", "wins"),
    [
        (figures(0.1, 0.5), {}, True),
        (figures(0.1, 0.5), figures(0.2, 0.5), True),
        (figures(0.2, 0.5), figures(0.2, 0.5), False),
        (figures(0.3, 0.9), figures(0.2, 0.5), False),
        (figures(0.1, 0.4), figures(0.2, 0.5), False),
        (figures(0.1, 0.49), figures(0.2, 0.5), True),
    ],
)
def test_who_is_better(new: dict[str, float], old: dict[str, float], wins: bool) -> None:
    assert better(new, old, RULE) is wins


def test_every_guard_holds_where_both_versions_have_it() -> None:
    """A version made of a user's set has no ideal results, and is not held off by that."""
    old = figures(0.2, 0.5) | {"pastiche_identity": 0.5}
    assert not better(figures(0.1, 0.6) | {"pastiche_identity": 0.4}, old, RULE)
    assert better(figures(0.1, 0.5) | {"pastiche_identity": 0.49}, old, RULE)
    assert better(figures(0.1, 0.5), old, RULE)
    assert not better(figures(0.1, 0.4), old, RULE)
    assert better(figures(0.1, 0.1), old, RULE.model_copy(update={"guard": ()}))


def test_figures_of_another_identity_measure_are_not_compared() -> None:
    """A champion of 0.5 by dlib's measure would hold off a better model of 0.3 by FaceNet's."""
    new = figures(0.1, 0.3)
    champion = {**figures(0.2, 0.5), "identity_same.low": 0.4, "enrolled_identity_same": 0.5}
    champion |= {"pastiche_identity": 0.7, "pastiche_recognised": 0.9}
    assert not better(new, comparable(champion, "a", "a"), RULE)
    assert comparable(champion, "a", "b") == {"kid_results": 0.2}
    assert better(new, comparable(champion, "a", "b"), RULE)
    worse = figures(0.3, 0.9)
    assert not better(worse, comparable(champion, "a", "b"), RULE)
    by_identity = RULE.model_copy(update={"measure": "identity_same", "lower_is_better": False})
    assert better(new, comparable(champion, "a", "b"), by_identity)


def test_a_measure_that_was_not_taken_is_named() -> None:
    with pytest.raises(DataError, match=r"kid_results.*identity_same.*register\.measure"):
        better({"identity_same": 0.5}, {}, RULE)


def measured(kid: float, identity: float = 0.5) -> None:
    values = figures(kid, identity)
    write_json(Paths.metrics, {k: {"value": v, "low": v, "high": v} for k, v in values.items()})


def test_versions_champion_and_serving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tiny_model(resolution=64).save_pretrained(Paths.portrait)
    folder = Path("data/sets/demo/models/finetuned/samples")
    folder.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(folder / "000001.png")
    curves = pd.DataFrame({"step": range(1200), "loss": [1.0] * 1200})
    write_dataframe(folder.parent / "curves.parquet", curves)
    write_json(folder.parent / "run.json", {"fingerprint": "f" * 64})
    measured(0.2)
    first = register(shipped())
    assert (first["version"], first["champion"], first["promoted"]) == ("1", "1", True)
    assert register(shipped())["version"] == "1"
    client, experiment = connect(RULE.experiment)
    trained = find_run(client, experiment, "f" * 64)
    assert trained is not None
    assert trained.data.tags["mlflow.parentRunId"] == first["run_id"]
    assert len(client.get_metric_history(trained.info.run_id, "finetune/loss")) == 1200
    measured(0.3)
    worse = register(shipped())
    assert (worse["version"], worse["champion"], worse["promoted"]) == ("2", "1", False)
    measured(0.1)
    best = register(shipped())
    assert (best["version"], best["champion"]) == ("3", "3")
    # the network of identity changes: the guard does not compare its scale with the former one
    write_json(Paths.evaluation / "evaluation.json", {IDENTITY_MEASURE: "another"})
    measured(0.09, identity=0.3)
    other = register(shipped())
    assert (other["version"], other["champion"]) == ("4", "4")
    assert "identity_same of champion version 3 not compared" in str(other["left_out"])
    assert FIRST_IDENTITY_MEASURE in str(other["left_out"])
    tags = client.get_run(str(other["run_id"])).data.tags
    assert tags[IDENTITY_MEASURE] == "another"
    measured(0.08, identity=0.2)
    guarded = register(shipped())
    assert (guarded["champion"], guarded["left_out"]) == ("4", "")
    ensure(shipped())
    assert not Paths.registration.exists()
    write_json(Paths.registration, other)
    assert read_json(Paths.registration)["value"] == 0.09
    example, refusal = serve(tmp_path)
    (row,) = example["predictions"]
    assert Image.open(io.BytesIO(base64.b64decode(row["image"]))).size == (64, 64)
    assert refusal["error_code"] == "INVALID_PARAMETER_VALUE"
    assert refusal["message"].startswith("unknown style; found: ston; limit: one of 4 styles")


def serve(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Post the champion's example to `mlflow models serve`, and again with an unknown style."""
    port = free_port()
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    example = json.loads(next(folder.glob("**/serving_input_example.json")).read_text())
    unknown = {"inputs": [{"image": "", "style": "ston"}], "params": example["params"]}
    model = "models:/dualstylegan-demo@champion"
    command = ["models", "serve", "-m", model, "--env-manager", "local"]
    with open(folder / "serve.log", "w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *command, "-h", "127.0.0.1", "-p", str(port)],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/ping")
        return post(port, example), post(port, unknown)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def post(port: int, body: dict[str, Any]) -> dict[str, Any]:
    """Post JSON to a served model; return its answer, a refusal too."""
    address, kind = f"http://127.0.0.1:{port}/invocations", {"Content-Type": "application/json"}
    request = urllib.request.Request(address, json.dumps(body).encode(), kind)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            said = answer.read()
    except urllib.error.HTTPError as error:
        said = error.read()
    found: dict[str, Any] = json.loads(said)
    return found
