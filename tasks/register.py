"""Stage `register`: a run and a version in MLflow, and the alias of the champion."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dualstylegan.errors import DataError
from dualstylegan.io.files import read_json, scratch_folder, sha256_file, write_json
from dualstylegan.networks.config import CONFIG_FILE, MODEL_FILE
from dualstylegan.portrait.config import ENCODER_FILE, STYLES_FILE, read_config
from tasks.serving.signature import example, signature
from tasks.shared.paths import Paths
from tasks.shared.settings import Register, Settings
from tasks.shared.tracking import (
    close_orphans,
    connect,
    flat,
    killed_unless_done,
    log_facts,
    store_errors,
    take_run,
    training_run,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

SERVING = Path(__file__).parent / "serving" / "model.py"
CORE = Path(__file__).parents[1] / "dualstylegan"
CHAMPION = "champion"
DIGEST = "content_sha256"
# Tag of a run: the measure behind its figures of identity, as evaluation.json names it.
IDENTITY_MEASURE = "identity_measure"
# Measure of runs and evaluations that name none: they were made before there was another.
FIRST_IDENTITY_MEASURE = "dlib-distance"
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


def content_digest(*places: Path) -> str:
    """Return a digest of files and folders, by name and content."""
    digest = hashlib.sha256()
    for place in places:
        files = sorted(p for p in place.rglob("*") if p.is_file()) if place.is_dir() else [place]
        for path in files:
            digest.update(f"{path.relative_to(place)}\0{sha256_file(path)}\n".encode())
    return digest.hexdigest()


def better(new: Mapping[str, float], holder: Mapping[str, float], rule: Register) -> bool:
    """Return True if the new measures beat the champion's: the measure improves, the guards hold.

    A champion without the measure is beaten. A guard that either of the two lacks is not compared.

    Raises:
        DataError: the new measures lack the one that decides.
    """
    if rule.measure not in new:
        raise DataError(
            "the deciding measure is missing",
            file=Paths.metrics,
            value=rule.measure,
            limit=", ".join(sorted(new)),
            fix="set register.measure in params.yaml",
        )
    if rule.measure not in holder:
        return True
    gain = new[rule.measure] - holder[rule.measure]
    if (-gain if rule.lower_is_better else gain) <= 0:
        return False
    guards: list[str] = [key for key in rule.guard if key in new and key in holder]
    return all(new[key] >= holder[key] - rule.guard_slack for key in guards)


def comparable(held: Mapping[str, float], theirs: str, ours: str) -> dict[str, float]:
    """Return the champion's figures that the new ones can be compared with.

    Figures of identity are left out if another network or similarity made them.

    Args:
        held: figures of the champion.
        theirs, ours: measures of identity of the champion and of the new version.
    """
    if theirs == ours:
        return dict(held)
    by_network = ("identity", "recognised")
    return {key: x for key, x in held.items() if not any(word in key for word in by_network)}


def identity_measure() -> str:
    """Return the name of the measure behind the evaluation's figures of identity."""
    facts = Paths.evaluation / "evaluation.json"
    named = read_json(facts).get(IDENTITY_MEASURE) if facts.is_file() else None
    return str(named or FIRST_IDENTITY_MEASURE)


def measures() -> dict[str, float]:
    """Return metrics.json as flat numbers: NAME, NAME.low, NAME.high."""
    found: dict[str, float] = {}
    for name, figure in read_json(Paths.metrics).items():
        found[name] = float(figure["value"])
        found |= {f"{name}.{end}": float(figure[end]) for end in ("low", "high")}
    return found


def requirements() -> list[str]:
    """Return exact versions of what serving needs, without local labels such as `+cpu`."""
    from importlib.metadata import version

    return [f"{name}=={version(name).split('+')[0]}" for name in REQUIREMENTS]


def log_run(client: MlflowClient, experiment: str, settings: Settings, digest: str) -> str:
    """Log a run with parameters and measures, parent of its trainings' runs; return its id.

    The run that a killed process has begun for this content is gone on with.
    """
    tags = {DIGEST: digest, IDENTITY_MEASURE: identity_measure()}
    run = unfinished_run(client, experiment, settings.register_.model, digest)
    if run is None:
        run = client.create_run(experiment, run_name=digest[:12], tags=tags)
    name = str(run.info.run_id)
    take_run(client, name)
    with killed_unless_done(client, name):
        log_facts(client, name, flat(settings.model_dump(mode="json", by_alias=True)), measures())
        for stage, folder in Paths.trained().items():
            trained = training_run(client, experiment, stage, folder)
            if trained is not None:
                client.set_tag(name, f"trained_by.{stage}", trained)
                client.set_tag(trained, "mlflow.parentRunId", name)
        if (Paths.evaluation / "sweep").is_dir():
            client.log_artifacts(name, str(Paths.evaluation / "sweep"), "evaluation/sweep")
        client.set_terminated(name)
    return name


def unfinished_run(client: MlflowClient, experiment: str, model: str, digest: str) -> Any | None:
    """Return the run of a content of which no version was registered; None if there is none."""
    versions = client.search_model_versions(f"name = '{model}'")
    registered = {str(version.run_id) for version in versions}
    runs = client.search_runs([experiment], f"tags.{DIGEST} = '{digest}'")
    return next((run for run in runs if str(run.info.run_id) not in registered), None)


def log_version(client: MlflowClient, run: str, rule: Register, digest: str) -> str:
    """Log the pyfunc model under a run and register it; return the version."""
    import mlflow

    with scratch_folder() as folder, mlflow.start_run(run_id=run):
        code = folder / "dualstylegan"
        shutil.copytree(CORE, code, ignore=shutil.ignore_patterns("__pycache__"))
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(SERVING),
            artifacts={"portrait": str(Paths.portrait)},
            code_paths=[str(code)],
            signature=signature(),
            input_example=example(Paths.portrait),
            metadata={"styles": list(read_config(Paths.portrait).styles)},
            pip_requirements=requirements(),
        )
    version = client.create_model_version(
        rule.model, logged.model_uri, run_id=run, tags={DIGEST: digest}
    )
    return str(version.version)


def champion(client: MlflowClient, model: str) -> Any | None:
    """Return the version that holds the alias, if its files are there."""
    from mlflow.exceptions import MlflowException

    try:
        version = client.get_model_version_by_alias(model, CHAMPION)
    except MlflowException:
        return None
    return version if has_files(client, version) else None


def has_files(client: MlflowClient, version: Any) -> bool:
    """Return True unless the files of a version on this machine's disk are gone."""
    from urllib.parse import unquote, urlsplit

    location = str(client.get_model_version_download_uri(version.name, version.version))
    if urlsplit(location).scheme not in ("", "file"):
        return True
    folder = Path(unquote(urlsplit(location).path))
    portrait = folder / "artifacts" / Paths.portrait.name
    needed = [portrait / name for name in (CONFIG_FILE, MODEL_FILE, ENCODER_FILE, STYLES_FILE)]
    return all(path.is_file() for path in (folder / "MLmodel", *needed))


def register(settings: Settings) -> dict[str, Any]:
    """Track, register and perhaps promote the packaged model; the same content only once.

    A version whose files are gone, as in a project that was copied without them, does not count:
    it is logged again, and does not stay champion.

    Returns:
        Content of registration.json.

    Raises:
        DataError: the model or its measures are missing.
        OutputError: the store cannot be read or written.
    """
    new = measures()
    digest = content_digest(Paths.portrait, Paths.metrics)
    with store_errors():
        return _register(settings, new, digest)


def _register(settings: Settings, new: dict[str, float], digest: str) -> dict[str, Any]:
    """Register the content of a digest with its measures, see `register`."""
    rule = settings.register_
    client, experiment = connect(rule.experiment)
    close_orphans(client, experiment)
    if not client.search_registered_models(f"name = '{rule.model}'"):
        client.create_registered_model(rule.model)
    versions = client.search_model_versions(f"name = '{rule.model}'")
    known = [v for v in versions if v.tags.get(DIGEST) == digest and has_files(client, v)]
    if known:
        version, run = str(known[0].version), str(known[0].run_id)
    else:
        run = log_run(client, experiment, settings, digest)
        version = log_version(client, run, rule, digest)
    holder = champion(client, rule.model)
    held, left_out = ({}, "") if holder is None else champion_figures(client, holder, rule)
    promoted = holder is None or (str(holder.version) != version and better(new, held, rule))
    if promoted:
        client.set_registered_model_alias(rule.model, CHAMPION, version)
    return {
        "model": rule.model,
        "version": version,
        "run_id": run,
        DIGEST: digest,
        "measure": rule.measure,
        "value": new.get(rule.measure),
        "champion": version if promoted or holder is None else str(holder.version),
        "promoted": promoted,
        "left_out": left_out,
    }


def champion_figures(
    client: MlflowClient, holder: Any, rule: Register
) -> tuple[dict[str, float], str]:
    """Return the champion's figures that count, and a note on the rule's measures that do not.

    The note is printed as well; it is empty if all measures of the rule can be compared.
    """
    data = client.get_run(holder.run_id).data
    theirs, ours = data.tags.get(IDENTITY_MEASURE, FIRST_IDENTITY_MEASURE), identity_measure()
    held = comparable(data.metrics, theirs, ours)
    deciding = (rule.measure, *rule.guard)
    dropped = [key for key in deciding if key in data.metrics and key not in held]
    if not dropped:
        return held, ""
    note = (
        f"{' and '.join(dropped)} of {CHAMPION} version {holder.version} not compared: measured by "
        f"{theirs}, now {ours}"
    )
    print(f"register: {note}")
    return held, note


def ensure(settings: Settings) -> None:
    """Register a pulled model in a store that lacks it; write no output of DVC's.

    Raises:
        DataError: the model or its measures are missing.
    """
    done = register(settings)
    print(f"{done['model']} version {done['version']}, {CHAMPION}: version {done['champion']}")


def main() -> None:
    """Run `python -m tasks.register [SET] [--ensure]`."""
    import sys

    from tasks.shared.runner import load_settings, run_stage

    settings = load_settings()
    if "--ensure" in sys.argv[1:]:
        run_stage("register", lambda: ensure(settings), timed=False)
    else:
        run_stage("register", lambda: write_json(Paths.registration, register(settings)))


if __name__ == "__main__":
    main()
