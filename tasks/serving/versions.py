"""Versions of the registered model: logged without what they share, checked, and promoted."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dualstylegan.errors import DualStyleGANError
from dualstylegan.io.files import scratch_folder
from dualstylegan.networks.config import CARD_FILE, CONFIG_FILE, MODEL_FILE
from dualstylegan.networks.listing import find_problems, read_listing
from dualstylegan.portrait.config import ENCODER_FILE, OLD_CARD_FILE, STYLES_FILE, read_config
from dualstylegan.portrait.face_weights import FOLDER
from dualstylegan.portrait.shared_weights import (
    WeightsReference,
    digest_of,
    read_reference,
    shared_records,
    write_reference,
)
from tasks.serving.artifacts import (
    REFERENCE_FILE,
    download,
    local_folder,
    location_of,
    portrait_folder,
    reference_of,
)
from tasks.serving.evidence import introduction
from tasks.serving.gate import Gain, Verdict
from tasks.serving.signature import example, signature
from tasks.shared.paths import Paths
from tasks.shared.runs import NOTE, origin_tags
from tasks.shared.settings import Register
from tasks.shared.tracking import connect

if TYPE_CHECKING:
    from mlflow import MlflowClient

SERVING = Path(__file__).parent / "model.py"
CORE = Path(__file__).parents[2] / "dualstylegan"
# Aliases of the best version, and of the one that lost to it last.
CHAMPION, CHALLENGER = "champion", "challenger"
DIGEST = "content_sha256"
# Tags of a version: the gate's verdict and what it rests on.
GATE, REASON, BEATEN = "gate", "gate.reason", "gate.beaten_by"
MAX_TAG = 4900  # characters; MLflow takes 5000 of a tag and of a description
# Experiment of the runs that hold what versions share.
SHARED = "shared-weights"
WEIGHTS_DIGEST = "weights_sha256"
SHARED_NOTE = (
    "Third-party weights (face detector, landmark model, LPIPS, face recognition) that versions of "
    "the registered models share, once for each content. Versions refer to these runs: do not "
    "delete them."
)
# Listed here: the versions that pip reports (`torch==2.13.0+cpu`) are not available everywhere.
REQUIREMENTS = (
    "dlib-bin",
    "numpy",
    "onnxruntime",
    "pandas",
    "pillow",
    "pydantic",
    "safetensors",
    "torch",
)


def requirements() -> list[str]:
    """Return exact versions of what serving needs, without local labels such as `+cpu`."""
    from importlib.metadata import version

    return [f"{name}=={version(name).split('+')[0]}" for name in REQUIREMENTS]


def share_weights(portrait: Path) -> WeightsReference | None:
    """Log the third-party weights of a model folder, once per store; return where they lie.

    Returns:
        The reference; None if the folder has no such weights.
    """
    files = shared_records(portrait)
    if not files:
        return None
    digest = digest_of(files)
    tags = {"mlflow.experimentKind": "custom_model_development", NOTE: SHARED_NOTE}
    client, experiment = connect(SHARED, tags)
    for run in client.search_runs([experiment], f"tags.{WEIGHTS_DIGEST} = '{digest}'"):
        address = f"runs:/{run.info.run_id}/weights/{digest}"
        kept = WeightsReference(address=address, files=files)
        if fault_of_weights(kept) is None:
            return kept
    made = client.create_run(experiment, tags=origin_tags(), run_name=f"weights {digest[:12]}")
    run_id = str(made.info.run_id)
    client.log_artifacts(run_id, str(portrait / FOLDER), f"weights/{digest}")
    client.set_tag(run_id, WEIGHTS_DIGEST, digest)
    client.set_terminated(run_id)
    return WeightsReference(address=f"runs:/{run_id}/weights/{digest}", files=files)


def log_version(
    client: MlflowClient,
    run: str,
    rule: Register,
    digest: str,
) -> str:
    """Log the pyfunc model under a run and register it; return the version.

    MLflow gives the model the measures that the run has: logging them again fails beyond a hundred.
    """
    import mlflow

    reference = share_weights(Paths.portrait)
    mlflow.set_experiment(experiment_id=client.get_run(run).info.experiment_id)
    with scratch_folder() as folder, mlflow.start_run(run_id=run):
        code = folder / "dualstylegan"
        shutil.copytree(CORE, code, ignore=shutil.ignore_patterns("__pycache__"))
        artifacts = {"portrait": str(Paths.portrait)}
        if reference is not None:
            artifacts["portrait"] = str(_without_weights(Paths.portrait, folder / "portrait"))
            artifacts["weights"] = str(folder / REFERENCE_FILE)
            write_reference(folder / REFERENCE_FILE, reference)
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(SERVING),
            artifacts=artifacts,
            code_paths=[str(code)],
            signature=signature(),
            input_example=example(Paths.portrait),
            metadata={"styles": list(read_config(Paths.portrait).styles)},
            pip_requirements=requirements(),
        )
    version = client.create_model_version(
        rule.model, logged.model_uri, run_id=run, tags={DIGEST: digest}, model_id=logged.model_id
    )
    return str(version.version)


def _without_weights(portrait: Path, target: Path) -> Path:
    """Copy a model folder without its third-party weights, as links where that is possible."""

    def put(source: str, copy: str) -> str:
        try:
            os.link(source, copy)
        except OSError:
            shutil.copyfile(source, copy)
        return copy

    def leave_out(folder: str, _names: list[str]) -> set[str]:
        return {FOLDER} if Path(folder) == portrait else set()

    shutil.copytree(portrait, target, ignore=leave_out, copy_function=put)
    return target


def fault_of(version: Any) -> str | None:
    """Return why a version does not open; None if all its files are whole.

    Every file is read and compared with its digest, from the store itself.
    """
    from mlflow.exceptions import MlflowException

    try:
        location = location_of(f"models:/{version.name}/{version.version}")
        with scratch_folder() as scratch:
            return _fault_of_files(download(location, scratch))
    except (MlflowException, OSError, DualStyleGANError) as error:
        return str(error).partition("\n")[0]


def _fault_of_files(folder: Path) -> str | None:
    if not (folder / "MLmodel").is_file():
        return "MLmodel is missing"
    portrait = portrait_folder(folder)
    file, listing = reference_of(portrait), read_listing(portrait)
    if listing is None:  # made before there were listings
        needed = (CONFIG_FILE, MODEL_FILE, ENCODER_FILE, STYLES_FILE)
        missing = [name for name in needed if not (portrait / name).is_file()]
        return f"{', '.join(missing)} missing" if missing else None
    records = dict(listing.files)
    if file is not None:
        reference = read_reference(file)
        records = {k: v for k, v in records.items() if not k.startswith(f"{FOLDER}/")}
        fault = fault_of_weights(reference)
        if fault is not None:
            return f"shared weights: {fault}"
    return next(iter(find_problems(portrait, records, OLD_CARD_FILE, CARD_FILE)), None)


def fault_of_weights(reference: WeightsReference) -> str | None:
    """Return why shared weights cannot be had from their store; None if they are whole.

    On this machine's disk they are read; of another store their lengths are asked for.
    """
    from mlflow.artifacts import list_artifacts
    from mlflow.exceptions import MlflowException
    from mlflow.store.artifact.runs_artifact_repo import RunsArtifactRepository

    try:
        location = RunsArtifactRepository.get_underlying_uri(reference.address)
        folder = local_folder(location)
        if folder is not None:
            return next(iter(find_problems(folder, reference.files)), None)
        listed = list_artifacts(artifact_uri=location)
        lengths = {file.path.rsplit("/", 1)[-1]: file.file_size for file in listed}
    except (MlflowException, OSError) as error:
        return str(error).partition("\n")[0]
    wanted = {name: record.length for name, record in reference.files.items()}
    other = [name for name, length in wanted.items() if lengths.get(name) != length]
    return f"{', '.join(other)} missing or cut short" if other else None


def champion(client: MlflowClient, model: str) -> Any | None:
    """Return the version that holds the alias; None if there is none."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(model, CHAMPION)
    except MlflowException:
        return None


def settle(
    client: MlflowClient, model: str, version: str, holder: Any | None, verdict: Verdict
) -> None:
    """Write the gate's verdict on the new version and move the aliases.

    Args:
        client: see MLflow.
        model: name in the registry.
        version: the new one.
        holder: the champion that it was compared with; None: there was none.
        verdict: of the gate.
    """
    place = CHAMPION if verdict.promoted else CHALLENGER
    reason = verdict.reason[:MAX_TAG]
    tags = {GATE: place, REASON: reason}
    gains: tuple[Gain, ...] = () if verdict.gain is None else (verdict.gain, *verdict.guards)
    for gain in gains:
        of = gain.interval
        tags[f"gate.{gain.measure}"] = f"{of.value:+.4f} [{of.low:+.4f}, {of.high:+.4f}]"
    for name, value in tags.items():
        client.set_model_version_tag(model, version, name, value)
    about = introduction(Paths.portrait / CARD_FILE)
    text = f"**{place.capitalize()}**: {reason}\n\n{about}"
    client.update_model_version(model, version, text[:MAX_TAG])
    if verdict.promoted:
        client.update_registered_model(model, about)
        client.set_registered_model_alias(model, CHAMPION, version)
        if holder is None:
            return
        loser = str(holder.version)
        client.set_model_version_tag(model, loser, BEATEN, f"version {version}: {reason}"[:MAX_TAG])
        client.set_registered_model_alias(model, CHALLENGER, loser)
    else:
        client.set_registered_model_alias(model, CHALLENGER, version)
