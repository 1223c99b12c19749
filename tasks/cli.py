"""Entry point of `dualstylegan`: the core's command line, with models of a registry on top."""

from __future__ import annotations

import os
from pathlib import Path

from dualstylegan.cli import build_app, local_folder
from dualstylegan.errors import CheckpointError

REGISTRY = "models:/"
DEFAULT_TRACKING_URI = "sqlite:///mlflow.db"


def resolve(model: str) -> Path:
    """Bring a model to a folder on this machine.

    Args:
        model: a folder, or `models:/NAME@alias` or `models:/NAME/VERSION` of the MLflow registry
            (MLFLOW_TRACKING_URI, by default mlflow.db here).

    Raises:
        CheckpointError: the registry has no such model, or it holds no portrait model.
    """
    if not model.startswith(REGISTRY):
        return local_folder(model)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow

    if "MLFLOW_TRACKING_URI" not in os.environ:
        mlflow.set_tracking_uri(DEFAULT_TRACKING_URI)
    try:
        fetched = Path(mlflow.artifacts.download_artifacts(artifact_uri=model))
    except mlflow.exceptions.MlflowException as error:
        raise CheckpointError(
            "the registry does not give this model",
            value=model,
            limit=mlflow.get_tracking_uri(),
            fix="register it with `dvc repro register`, or set MLFLOW_TRACKING_URI",
        ) from error
    return portrait_folder(fetched)


def portrait_folder(fetched: Path) -> Path:
    """The portrait model inside a downloaded model: the folder with its weights.

    Raises:
        CheckpointError: there is none.
    """
    for weights in sorted(fetched.rglob("model.safetensors")):
        if (weights.parent / "config.json").is_file():
            return weights.parent
    raise CheckpointError("no portrait model in the registered model", file=fetched)


def main() -> None:
    """Run the command line."""
    build_app(resolve)()
