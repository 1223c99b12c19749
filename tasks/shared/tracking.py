"""MLflow as the project uses it: one sqlite file, local artifacts, nothing sent anywhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dualstylegan.io.files import read_json
from tasks.shared.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

DATABASE = Path("mlflow.db")
ARTIFACTS = Path("mlartifacts")
BATCH = 900  # MLflow takes at most 1000 metrics a call
FLUSH_SECONDS = 5.0
RUN_FILE = "run.json"
CURVES_FILE = "curves.parquet"
SAMPLES = "samples"
FINGERPRINT = "fingerprint"
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "DO_NOT_TRACK": "1",
}


def connect(experiment: str) -> tuple[MlflowClient, str]:
    """A client of the tracking store and the experiment's id, both made if missing.

    MLFLOW_TRACKING_URI, where set, takes the place of mlflow.db here.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import mlflow

    address = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{DATABASE.resolve()}"
    mlflow.set_tracking_uri(address)
    client = mlflow.MlflowClient()
    found = client.get_experiment_by_name(experiment)
    if found is not None:
        mlflow.set_experiment(experiment)
        return client, str(found.experiment_id)
    place = ARTIFACTS.resolve().as_uri() if address.startswith("sqlite") else None
    made = client.create_experiment(experiment, artifact_location=place)
    mlflow.set_experiment(experiment)
    return client, str(made)


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as MLflow's parameters: `section.name`."""
    found: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = str(value)
    return found


def log_curves(client: MlflowClient, run: str, stage: str, table: Path) -> int:
    """Log every numeric column of curves.parquet as STAGE/NAME over its steps, in batches.

    Returns:
        The number of points; 0 where there is no table.
    """
    import math

    import pandas as pd
    from mlflow.entities import Metric

    if not table.is_file():
        return 0
    frame = pd.read_parquet(table)
    columns = [c for c in frame.columns if c != "step" and pd.api.types.is_numeric_dtype(frame[c])]
    points = [
        Metric(f"{stage}/{name}", float(value), 0, int(step))
        for name in columns
        for step, value in zip(frame["step"], frame[name], strict=True)
        if math.isfinite(value)
    ]
    for start in range(0, len(points), BATCH):
        client.log_batch(run, metrics=points[start : start + BATCH])
    return len(points)


def log_facts(
    client: MlflowClient, run: str, parameters: Mapping[str, str], measures: Mapping[str, float]
) -> None:
    """Log parameters and measures in one batch each."""
    from mlflow.entities import Metric, Param

    client.log_batch(run, params=[Param(k, v[:5000]) for k, v in parameters.items()])
    client.log_batch(run, metrics=[Metric(k, v, 0, 0) for k, v in measures.items()])


def find_run(client: MlflowClient, experiment_id: str, fingerprint: str) -> Any | None:
    """The run of a training with this fingerprint, if the store knows one."""
    found = client.search_runs([experiment_id], f"tags.{FINGERPRINT} = '{fingerprint}'")
    return found[0] if found else None


class Live:
    """A training in MLflow while it goes on: curves in batches, pictures as they are drawn.

    The run is found again by the training's fingerprint, which travels in the stage's output; a
    killed training goes on in its run. What the store refuses costs the live view and nothing else:
    `register` makes the run whole from the stage's output.

    Args:
        stage: name of the stage, of its section, and of the run.
        settings: of the pipeline.
    """

    def __init__(self, stage: str, settings: Settings) -> None:
        self.stage, self.settings = stage, settings
        self.client: MlflowClient | None = None
        self.run = ""
        self.waiting: list[Metric] = []
        self.flushed = time.monotonic()

    def begin(self, fingerprint: str) -> None:
        """Open the run, or the one that a killed training left."""

        def open_run() -> None:
            client, experiment = connect(self.settings.register_.experiment)
            run = find_run(client, experiment, fingerprint)
            if run is None:
                run = new_run(client, experiment, self.stage, fingerprint)
                every = self.settings.model_dump(mode="json", by_alias=True)
                used = {name: every[name] for name in ("profile", self.stage)}
                log_facts(client, run.info.run_id, flat(used), {})
            self.run = str(run.info.run_id)
            client.update_run(self.run, status="RUNNING")
            self.client = client

        self._try(open_run)

    def metrics(self, step: int, scalars: Mapping[str, float]) -> None:
        """Note a step's scalars; they are sent every few seconds."""
        if self.client is None:
            return
        from mlflow.entities import Metric

        self.waiting += [Metric(f"{self.stage}/{k}", v, 0, step) for k, v in scalars.items()]
        if time.monotonic() - self.flushed >= FLUSH_SECONDS or len(self.waiting) >= BATCH:
            self._flush()

    def picture(self, path: Path) -> None:
        """Send a sample grid."""
        client = self.client
        if client is not None:
            self._try(lambda: client.log_artifact(self.run, str(path), f"{SAMPLES}/{self.stage}"))

    def end(self, history: Sequence[Mapping[str, float]]) -> None:
        """Close the run with all scalars in it; MLflow keeps once what it is told twice.

        Args:
            history: of all steps, of those too that a killed process had not sent yet.
        """
        self.waiting = []
        for row in history:
            self.metrics(int(row["step"]), {k: v for k, v in row.items() if k != "step"})
        self._flush()
        client = self.client
        if client is not None:
            self._try(lambda: client.set_terminated(self.run))

    def _flush(self) -> None:
        client, points = self.client, self.waiting
        self.waiting, self.flushed = [], time.monotonic()
        if client is not None and points:
            self._try(lambda: client.log_batch(self.run, metrics=points))

    def _try(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:  # whatever a store may raise: the training is worth more
            self.client = None
            print(f"{self.stage}: no live view in MLflow: {error}", file=sys.stderr)


def new_run(client: MlflowClient, experiment_id: str, stage: str, fingerprint: str) -> Any:
    """A run for a training."""
    return client.create_run(experiment_id, run_name=stage, tags={FINGERPRINT: fingerprint})


def training_run(client: MlflowClient, experiment_id: str, stage: str, folder: Path) -> str | None:
    """The run of a training whose output lies in a folder; made from that output if need be.

    Returns:
        Its id; None where there is no output.
    """
    if not (folder / RUN_FILE).is_file():
        return None
    fingerprint = str(read_json(folder / RUN_FILE)[FINGERPRINT])
    run = find_run(client, experiment_id, fingerprint)
    if run is not None and run.info.status == "FINISHED":
        return str(run.info.run_id)
    name = str((run or new_run(client, experiment_id, stage, fingerprint)).info.run_id)
    log_curves(client, name, stage, folder / CURVES_FILE)
    if (folder / SAMPLES).is_dir():
        client.log_artifacts(name, str(folder / SAMPLES), f"{SAMPLES}/{stage}")
    client.set_terminated(name)
    return name
