"""Stage `register`: a version in the MLflow registry, and the gate to the alias `champion`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dualstylegan.io.files import sha256_file, write_json
from tasks.serving.evidence import (
    log_evidence,
    measured_by,
    measures,
)
from tasks.serving.gate import Measured, Verdict, judge
from tasks.serving.versions import (
    CHAMPION,
    DIGEST,
    GATE,
    REASON,
    champion,
    fault_of,
    log_version,
    settle,
)
from tasks.shared.parents import open_parent
from tasks.shared.paths import Paths
from tasks.shared.pipeline import PipelineRun, new_pipeline, read_pipeline
from tasks.shared.runs import PARENT, close_orphans, killed_unless_done, training_run
from tasks.shared.settings import Settings
from tasks.shared.tracking import connect, store_errors

if TYPE_CHECKING:
    from mlflow import MlflowClient


def content_digest(*places: Path) -> str:
    """Return a digest of files and folders, by name and content."""
    digest = hashlib.sha256()
    for place in places:
        files = sorted(p for p in place.rglob("*") if p.is_file()) if place.is_dir() else [place]
        for path in files:
            digest.update(f"{path.relative_to(place)}\0{sha256_file(path)}\n".encode())
    return digest.hexdigest()


def version_run(
    client: MlflowClient,
    experiment: str,
    settings: Settings,
    digest: str,
    pipeline: PipelineRun | None,
) -> str:
    """Return the id of the run that a version comes from: the pipeline's, or one of its own.

    The run that a killed process has begun for this content is gone on with. A run holds the
    evidence of one content alone.
    """
    run = unfinished_run(client, experiment, settings.register_.model, digest)
    if run is not None:
        return str(run.info.run_id)
    if pipeline is not None:
        parent = open_parent(client, experiment, pipeline, settings)
        if DIGEST not in client.get_run(parent).data.tags:
            return parent
    return open_parent(client, experiment, new_pipeline(settings), settings)


def unfinished_run(client: MlflowClient, experiment: str, model: str, digest: str) -> Any | None:
    """Return the run of a content of which no version was registered; None if there is none."""
    versions = client.search_model_versions(f"name = '{model}'")
    registered = {str(version.run_id) for version in versions}
    runs = client.search_runs([experiment], f"tags.{DIGEST} = '{digest}'")
    return next((run for run in runs if str(run.info.run_id) not in registered), None)


def log_run(
    client: MlflowClient, experiment: str, settings: Settings, digest: str, run: str
) -> None:
    """Log the evidence of a content to a run, the parent of its trainings' runs."""
    client.set_tag(run, DIGEST, digest)
    for stage, folder in Paths.trained().items():
        trained = training_run(client, experiment, stage, folder, run)
        if trained is not None:
            client.set_tag(run, f"trained_by.{stage}", trained)
            if PARENT not in client.get_run(trained).data.tags:
                client.set_tag(trained, PARENT, run)
    log_evidence(client, run, settings)


def register(settings: Settings, pipeline: PipelineRun | None = None) -> dict[str, Any]:
    """Track, register and perhaps promote the packaged model; the same content only once.

    A version that does not open, as in a project that was copied without its files, does not count:
    it is logged again, and does not stay champion.

    Args:
        settings: of the pipeline.
        pipeline: the pipeline run that the stage is part of; None: the version gets a run of its
            own.

    Returns:
        Content of registration.json.

    Raises:
        DataError: the model or its measures are missing.
        OutputError: the store cannot be read or written.
    """
    new = measures()
    digest = content_digest(Paths.portrait, Paths.metrics)
    with store_errors():
        return _register(settings, new, digest, pipeline)


def _register(
    settings: Settings, new: dict[str, float], digest: str, pipeline: PipelineRun | None
) -> dict[str, Any]:
    """Register the content of a digest with its measures, see `register`."""
    rule = settings.register_
    client, experiment = connect(rule.experiment)
    close_orphans(client, experiment)
    if not client.search_registered_models(f"name = '{rule.model}'"):
        client.create_registered_model(rule.model)
    versions = client.search_model_versions(f"name = '{rule.model}'")
    same = (one for one in versions if one.tags.get(DIGEST) == digest)
    known = next((one for one in same if fault_of(one) is None), None)
    holder = champion(client, rule.model)
    fault = None if holder is None else fault_of(holder)
    if known is not None:
        version, run = str(known.version), str(known.run_id)
    else:
        run = version_run(client, experiment, settings, digest, pipeline)
        with killed_unless_done(client, run):
            log_run(client, experiment, settings, digest, run)
            version = log_version(client, run, rule, digest)
            client.set_terminated(run)
    left_out = ""
    if known is None or GATE not in known.tags or holder is None or fault is not None:
        left_out = gate(client, settings, version, None if fault else holder, fault)
    stands = client.get_model_version(rule.model, version)
    leader = str(client.get_model_version_by_alias(rule.model, CHAMPION).version)
    return {
        "model": rule.model,
        "version": version,
        "run_id": run,
        DIGEST: digest,
        "measure": rule.measure,
        "value": new.get(rule.measure),
        "champion": leader,
        "promoted": leader == version,
        "reason": stands.tags.get(REASON, ""),
        "left_out": left_out,
    }


def gate(
    client: MlflowClient,
    settings: Settings,
    version: str,
    holder: Any | None,
    fault: str | None,
) -> str:
    """Compare a version with the champion, move the aliases, and say why on the version.

    Args:
        client: see MLflow.
        settings: of the pipeline.
        version: the new one.
        holder: the champion, if it opens.
        fault: why the champion does not open.

    Returns:
        A note on measures of the rule that were not compared; empty if all were.
    """
    rule, of = settings.register_, settings.evaluate
    if holder is not None and str(holder.version) == version:
        return ""
    new = measured_by(client, client.get_model_version(rule.model, version))
    held = None if holder is None else measured_by(client, holder)
    verdict = judge(new, held, rule, of.seed, of.resamples)
    if fault is not None:
        verdict = Verdict(True, f"the champion before it does not open: {fault}")
    settle(client, rule.model, version, holder, verdict)
    print(f"register: version {version}: {verdict.reason}")
    return _left_out(verdict, new, held)


def _left_out(verdict: Verdict, new: Measured, held: Measured | None) -> str:
    if held is None or not verdict.left_out:
        return ""
    note = (
        f"{' and '.join(verdict.left_out)} of {CHAMPION} {held.name} not compared: measured by "
        f"{held.identity}, now {new.identity}"
    )
    print(f"register: {note}")
    return note


def ensure(settings: Settings) -> None:
    """Register a model in a store that lacks it, or whose version is damaged; write no output.

    Raises:
        DataError: the model or its measures are missing.
        OutputError: the store cannot be read or written.
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
        run_stage(
            "register", lambda: write_json(Paths.registration, register(settings, read_pipeline()))
        )


if __name__ == "__main__":
    main()
