"""Artifacts of registered versions: where a store keeps them, and the model inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from dualstylegan.errors import CheckpointError

# Artifact of a version that refers to the weights that all versions share.
REFERENCE_FILE = "weights.json"


def location_of(address: str) -> str:
    """Return where the artifacts of `models:/...` lie."""
    from mlflow.store.artifact import models_artifact_repo

    repository: Any = models_artifact_repo.ModelsArtifactRepository  # which has no types
    return str(repository.get_underlying_uri(address))


def download(location: str, scratch: Path) -> Path:
    """Return the folder of artifacts at an address: where it lies if local, else in `scratch`."""
    from mlflow.artifacts import download_artifacts

    folder = local_folder(location)
    if folder is not None:
        if not folder.is_dir():
            raise FileNotFoundError(folder)
        return folder
    return Path(download_artifacts(artifact_uri=location, dst_path=str(scratch)))


def local_folder(location: str) -> Path | None:
    """Return the folder that an address of artifacts means on this machine; None: elsewhere."""
    parts = urlsplit(location)
    return Path(unquote(parts.path)) if parts.scheme in ("", "file") else None


def reference_of(portrait: Path) -> Path | None:
    """Return the file beside a version's portrait model that refers to shared weights, if any."""
    file = portrait.parent / REFERENCE_FILE
    return file if file.is_file() else None


def portrait_folder(fetched: Path) -> Path:
    """Return the portrait model inside a downloaded model: the folder with its weights.

    Raises:
        CheckpointError: there is none.
    """
    for weights in sorted(fetched.rglob("model.safetensors")):
        if (weights.parent / "config.json").is_file():
            return weights.parent
    raise CheckpointError(
        "no portrait model in the registered model",
        file=fetched,
        fix="register a model by the stage `register`",
    )
