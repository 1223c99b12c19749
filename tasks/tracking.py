"""MLflow as the project uses it: one sqlite file, local artifacts, nothing sent anywhere."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

DATABASE = Path("mlflow.db")
ARTIFACTS = Path("mlartifacts")
BATCH = 900  # MLflow takes at most 1000 metrics a call
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
