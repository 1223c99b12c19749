"""Plug-ins of the command line: folders of registered models and of the project's own model."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from dualstylegan.errors import CheckpointError
from dualstylegan.io.files import atomic_directory, scratch_folder, short_digest
from dualstylegan.networks.listing import read_listing
from dualstylegan.portrait.face_weights import FOLDER, cache_folder
from dualstylegan.portrait.shared_weights import local_weights, read_reference
from tasks.serving.artifacts import download, location_of, portrait_folder, reference_of
from tasks.shared.paths import PROJECT, Paths

REGISTRY_FIX = "register it with `dvc repro register`, or set MLFLOW_TRACKING_URI"


def fetch(address: str) -> Path:
    """Fetch a registered model and return the folder of the portrait model inside, whole.

    A version refers to the weights that all versions share; both are put together in the library's
    cache, as links where the store lies on this machine. What a server sends is fetched once.

    Args:
        address: `models:/NAME@alias` or `models:/NAME/VERSION` of the MLflow registry:
            MLFLOW_TRACKING_URI, else mlflow.db here, else that of the project's folder.

    Raises:
        CheckpointError: there is no registry, it has no such model, or that is no portrait model.
        WeightsError: the store does not give the shared weights.
    """
    from tasks.shared.tracking import DATABASE, check_reachable, open_store

    project = Path() if DATABASE.is_file() else PROJECT
    if "MLFLOW_TRACKING_URI" not in os.environ and not (project / DATABASE).is_file():
        raise CheckpointError("no model registry", file=project / DATABASE, fix=REGISTRY_FIX)
    store = open_store(project)
    check_reachable(store)
    import mlflow

    with scratch_folder() as scratch:
        try:
            location = location_of(address)
            key = short_digest(hashlib.sha256(f"{store}\n{location}".encode()).hexdigest())
            kept = cache_folder() / f"registered-{key}"
            if is_complete(kept):
                return kept
            fetched = download(location, scratch)
        except (mlflow.exceptions.MlflowException, OSError) as error:
            raise CheckpointError(
                "the registry does not give this model",
                value=address,
                limit=store,
                fix=REGISTRY_FIX,
            ) from error
        return assemble(fetched, kept, lasting=scratch not in (fetched, *fetched.parents))


def is_complete(folder: Path) -> bool:
    """Return True if a model folder has every file of its listing at its length."""
    try:
        listing = read_listing(folder)
    except CheckpointError:
        return False
    return listing is not None and all(
        (folder / name).is_file() and (folder / name).stat().st_size == record.length
        for name, record in listing.files.items()
    )


def assemble(fetched: Path, target: Path, lasting: bool) -> Path:
    """Put a version's own files and the shared weights together.

    Args:
        fetched: folder of the version.
        target: folder to make.
        lasting: the version's files stay where they are, so that links suffice.

    Returns:
        `target`; or the model inside `fetched`, if that is whole and stays.
    """
    from tasks.serving.model import fetch_weights

    portrait = portrait_folder(fetched)
    reference = reference_of(portrait)
    if reference is None and lasting:
        return portrait
    sources = {path.relative_to(portrait): path for path in portrait.rglob("*") if path.is_file()}
    if reference is not None:
        weights = read_reference(reference)
        folder = local_weights(weights, fetch_weights)
        sources |= {Path(FOLDER, name): folder / name for name in weights.files}
    with atomic_directory(target) as out:
        for name, source in sources.items():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            _put(source, out / name, linked=lasting or portrait not in source.parents)
    return target


def _put(source: Path, target: Path, linked: bool) -> None:
    """Link a file, or copy it where links are not possible or not asked for."""
    try:
        if linked:
            os.symlink(source.resolve(), target)
            return
    except OSError:
        pass
    shutil.copyfile(source, target)


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
