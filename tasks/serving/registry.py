"""Models of the MLflow registry, and the project's own, as folders: the command line's plug-ins."""

from __future__ import annotations

import os
from pathlib import Path

from dualstylegan.errors import CheckpointError
from tasks.shared.paths import PROJECT, Paths

DEFAULT_TRACKING_URI = "sqlite:///mlflow.db"


def fetch(address: str) -> Path:
    """Fetch a registered model and return the folder of the portrait model inside.

    Args:
        address: `models:/NAME@alias` or `models:/NAME/VERSION` of the MLflow registry
            (MLFLOW_TRACKING_URI, by default mlflow.db here).

    Raises:
        CheckpointError: the registry has no such model, or it holds no portrait model.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow

    if "MLFLOW_TRACKING_URI" not in os.environ:
        mlflow.set_tracking_uri(DEFAULT_TRACKING_URI)
    try:
        fetched = Path(mlflow.artifacts.download_artifacts(artifact_uri=address))
    except mlflow.exceptions.MlflowException as error:
        raise CheckpointError(
            "the registry does not give this model",
            value=address,
            limit=mlflow.get_tracking_uri(),
            fix="register it with `dvc repro register`, or set MLFLOW_TRACKING_URI",
        ) from error
    return portrait_folder(fetched)


def portrait_folder(fetched: Path) -> Path:
    """Return the portrait model inside a downloaded model: the folder with its weights.

    Raises:
        CheckpointError: there is none.
    """
    for weights in sorted(fetched.rglob("model.safetensors")):
        if (weights.parent / "config.json").is_file():
            return weights.parent
    raise CheckpointError("no portrait model in the registered model", file=fetched)


def project_model(name: str = "") -> Path:
    """Return the folder of the model that the pipeline made: here, else in the project's folder."""
    return Paths.portrait if Paths.portrait.is_dir() else PROJECT / Paths.portrait
