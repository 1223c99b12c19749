"""Registration in a real server with its own store: versions, gate, weights, healing, serving."""

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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dualstylegan.errors import OutputError
from dualstylegan.io.files import write_json
from dualstylegan.portrait.face_weights import FACE_FILES
from dualstylegan.portrait.model import PortraitModel
from tasks.register import ensure, register
from tasks.serving.evidence import IDENTITY_MEASURE
from tasks.serving.registry import fetch
from tasks.serving.versions import SHARED, fault_of
from tasks.shared.dataframes import write_dataframe
from tasks.shared.paths import Paths
from tasks.shared.runs import find_run
from tasks.shared.tracking import QUIET, connect
from tests.flows.test_doors import wait_for
from tests.support.portrait_models import STYLE_NAMES, tiny_model
from tests.support.settings import shipped
from tests.support.standin import free_port

RULE = shipped().register_
CHAMPION = "models:/dualstylegan-demo@champion"
WEIGHT_BYTES = 3_000_000


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Run an MLflow server that keeps artifacts itself; yield the folder of its store."""
    store, port = tmp_path / "server", free_port()
    store.mkdir()
    address = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("DUALSTYLEGAN_CACHE", str(tmp_path / "cache"))
    for name in ("dbruntime", "pyspark"):  # MLflow searches the whole path for them at each request
        monkeypatch.setitem(sys.modules, name, None)
    options = ["--serve-artifacts", "--backend-store-uri", "sqlite:///mlflow.db", "--workers", "1"]
    command = ["server", *options, "--artifacts-destination", "artifacts"]
    with open(tmp_path / "server.log", "w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=store,
            env={**os.environ, **QUIET},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_for(f"{address}/health", seconds=300)
        yield store
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def measured(style: float, identity: float = 0.5) -> None:
    """Write an evaluation whose results differ from pair to pair, not from version to version."""
    noise = np.random.default_rng(0).normal(0, 0.02, 12)
    pairs = [(f"face-{row}", name) for row in range(3) for name in STYLE_NAMES]
    table = pd.DataFrame(pairs, columns=["content", "style"])
    table["own_distance"], table["identity"] = style + noise, identity + noise
    write_dataframe(Paths.evaluation / "pairs.parquet", table.assign(artefact=0.0))
    values = {"style_distance": style, "identity_same": identity, "artefact_rate": 0.0}
    # as many as an evaluation has: MLflow treats more than a hundred otherwise
    values |= {f"other_{number}": 0.5 for number in range(50)}
    write_json(Paths.metrics, {k: {"value": v, "low": v, "high": v} for k, v in values.items()})
    write_json(Paths.evaluation / "evaluation.json", {IDENTITY_MEASURE: "facenet-cosine"})


def trained() -> None:
    """Write a model with third-party weights of its own, and the training that it comes from."""
    weights = Path("weights")
    weights.mkdir()
    for number, name in enumerate(FACE_FILES):
        (weights / name).write_bytes(bytes([number]) * WEIGHT_BYTES)
    model = tiny_model(resolution=64)
    model.weights_dir = weights
    model.save_pretrained(Paths.portrait)
    samples = Paths.finetuned / "samples"
    samples.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(samples / "000001.png")
    curves = pd.DataFrame({"step": range(1200), "loss": [1.0] * 1200})
    write_dataframe(Paths.finetuned / "curves.parquet", curves)
    write_json(Paths.finetuned / "run.json", {"fingerprint": "f" * 64})


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_versions_gate_weights_and_healing_in_a_remote_store(
    server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    trained()
    measured(0.4)
    first = register(shipped())
    assert (first["version"], first["champion"], first["promoted"]) == ("1", "1", True)
    assert register(shipped())["version"] == "1"
    size = bytes_in(server / "artifacts")
    assert size > 2 * WEIGHT_BYTES
    client, experiment = connect(RULE.experiment)
    run = find_run(client, experiment, "f" * 64)
    assert run is not None
    assert run.data.tags["mlflow.parentRunId"] == first["run_id"]
    points = client.get_metric_history(run.info.run_id, "finetune/loss")
    assert len(points) == 1200
    assert all(point.timestamp > 1e12 for point in points)
    shown = {file.path for file in client.list_artifacts(first["run_id"])}
    assert {"measures.json", "pairs.json", "card"} <= shown

    measured(0.41)
    worse = register(shipped())
    assert (worse["version"], worse["champion"], worse["promoted"]) == ("2", "1", False)
    assert "worse than version 1: style_distance" in worse["reason"]
    assert client.get_model_version_by_alias(RULE.model, "challenger").version == "2"
    measured(0.39)
    best = register(shipped())
    assert (best["version"], best["champion"]) == ("3", "3")
    champion, loser = (
        client.get_model_version_by_alias(RULE.model, name) for name in ("champion", "challenger")
    )
    assert (champion.tags["gate"], loser.version) == ("champion", "1")
    assert champion.tags["gate.style_distance"].startswith("+0.0100 [")
    assert str(champion.description).startswith("**Champion**: better than version 1")
    assert loser.tags["gate.beaten_by"].startswith("version 3: better")
    # three versions, their runs, and the weights once
    assert bytes_in(server / "artifacts") < 3 * size - 3 * WEIGHT_BYTES
    shared = client.get_experiment_by_name(SHARED)
    assert shared is not None
    assert len(client.search_runs([shared.experiment_id])) == 1

    portrait = fetch(CHAMPION)
    assert (portrait / "faces" / FACE_FILES[0]).stat().st_size == WEIGHT_BYTES
    restyled = PortraitModel.from_pretrained(portrait).transfer(
        Image.linear_gradient("L").convert("RGB"), STYLE_NAMES[0], size=64, align=False
    )
    assert restyled.size == (64, 64)
    example = next(server.glob("**/serving_input_example.json"))
    answer, refusal = serve(tmp_path, json.loads(example.read_text()))
    (row,) = answer["predictions"]
    assert Image.open(io.BytesIO(base64.b64decode(row["image"]))).size == (64, 64)
    assert refusal["error_code"] == "INVALID_PARAMETER_VALUE"
    assert refusal["message"].startswith("unknown style; found: ston; limit: one of 4 styles")

    model = str(champion.source).rsplit("/")[-1]
    (stored,) = server.glob(f"artifacts/**/{model}/**/encoder.safetensors")
    content = bytearray(stored.read_bytes())
    content[-1] ^= 1
    stored.write_bytes(content)
    assert "encoder.safetensors: a damaged file" in str(fault_of(champion))
    ensure(shipped())
    healed = client.get_model_version_by_alias(RULE.model, "champion")
    assert healed.version == "4"
    assert "does not open" in healed.tags["gate.reason"]
    assert fault_of(healed) is None
    assert not Paths.registration.exists()


def test_a_server_that_is_gone_is_named_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    tiny_model(resolution=64).save_pretrained(Paths.portrait)
    measured(0.4)
    with pytest.raises(OutputError, match=r"http://127\.0\.0\.1:9: MLflow's server cannot be"):
        register(shipped())
    with pytest.raises(OutputError, match="cannot be reached"):
        fetch(CHAMPION)


def serve(folder: Path, example: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Post the champion's example to `mlflow models serve`, and again with an unknown style."""
    port = free_port()
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    unknown = {"inputs": [{"image": "", "style": "ston"}], "params": example["params"]}
    command = [
        "models",
        "serve",
        "-m",
        "models:/dualstylegan-demo@champion",
        "--env-manager",
        "local",
    ]
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
        wait_for(f"http://127.0.0.1:{port}/ping", seconds=300)
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
