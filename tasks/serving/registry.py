"""Plug-ins of the command line: folders of registered models and of the project's own model."""

from __future__ import annotations

import os
from pathlib import Path

from dualstylegan.errors import CheckpointError
from tasks.shared.paths import PROJECT, Paths

REGISTRY_FIX = "register it with `dvc repro register`, or set MLFLOW_TRACKING_URI"


def fetch(address: str) -> Path:
    """Fetch a registered model and return the folder of the portrait model inside.

    Args:
        address: `models:/NAME@alias` or `models:/NAME/VERSION` of the MLflow registry:
            MLFLOW_TRACKING_URI, else mlflow.db here, else that of the project's folder.

    Raises:
        CheckpointError: there is no registry, it has no such model, or that is no portrait model.
    """
    from tasks.shared.tracking import DATABASE, open_store

    project = Path() if DATABASE.is_file() else PROJECT
    if "MLFLOW_TRACKING_URI" not in os.environ and not (project / DATABASE).is_file():
        raise CheckpointError("no model registry", file=project / DATABASE, fix=REGISTRY_FIX)
    store = open_store(project)
    import mlflow

    try:
        fetched = Path(mlflow.artifacts.download_artifacts(artifact_uri=address))
    except (mlflow.exceptions.MlflowException, OSError) as error:
        raise CheckpointError(
            "the registry does not give this model", value=address, limit=store, fix=REGISTRY_FIX
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
    """Return the folder of a model that the pipeline made: here, else in the project's folder.

    Args:
        name: `set:NAME` of a style set; may be empty where one set alone has a model.

    Raises:
        CheckpointError: the set has no model, or several have one and none is named.
    """
    wanted = name.partition(":")[2]
    for folder in (Path(), PROJECT):
        found = models_of(folder)
        if wanted in found:
            return found[wanted]
        if found and not wanted:
            if len(found) == 1:
                return next(iter(found.values()))
            known = ", ".join(f"set:{one}" for one in found)
            fix = "give --model, or set DUALSTYLEGAN_MODEL"
            raise CheckpointError("several style sets have a model", limit=known, fix=fix)
    if not wanted:
        return PROJECT / Paths.portrait
    known = ", ".join(f"set:{one}" for one in models_of(PROJECT)) or "none yet"
    fix = "train it: `dvc repro package`"
    raise CheckpointError("no model of this style set", value=name, limit=known, fix=fix)


def models_of(project: Path) -> dict[str, Path]:
    """Return the model folders of a project's style sets by name, sorted."""
    inside = Paths.portrait.relative_to(Paths.style_set)
    folders = sorted((project / Paths.sets).glob(f"*/{inside.as_posix()}"))
    return {folder.relative_to(project / Paths.sets).parts[0]: folder for folder in folders}
