"""Run of the pipeline in MLflow, the parent of its stages' runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.shared.datasets import log_datasets
from tasks.shared.paths import Paths
from tasks.shared.pipeline import (
    FINISHED,
    KILLED,
    RUNNING,
    PipelineRun,
    StageRun,
    now_ms,
    read_pipeline,
)
from tasks.shared.runs import NOTE, PARENT, STAGE, log_facts, origin_tags
from tasks.shared.settings import Settings
from tasks.shared.tracking import connect, flat

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Tags of runs: the pipeline run, its style set, and when a stage's run began, in milliseconds.
PIPELINE = "pipeline"
STYLE_SET = "style_set"
STARTED = "started"


def parent_name(started: int) -> str:
    """Return the name of a pipeline run: its style set, and when it began."""
    began = time.strftime("%Y-%m-%d %H:%M", time.localtime(started / 1000))
    return f"{Paths.set_name()} {began}"


def find_parent(client: MlflowClient, experiment: str, run: PipelineRun) -> Any | None:
    """Return the run in MLflow of a pipeline run; None if there is none."""
    found = client.search_runs([experiment], f"tags.{PIPELINE} = '{run.token}'")
    return found[0] if found else None


def open_parent(client: MlflowClient, experiment: str, run: PipelineRun, settings: Settings) -> str:
    """Return the id of the run of a pipeline run, made with its settings if it is missing."""
    found = find_parent(client, experiment, run)
    if found is not None:
        return str(found.info.run_id)
    note = f"Pipeline of the style set `{Paths.set_name()}` in `{Path(run.folder).name}`."
    tags = {PIPELINE: run.token, STYLE_SET: Paths.set_name(), NOTE: note}
    name = parent_name(run.started)
    made = client.create_run(experiment, run.started, origin_tags() | tags, name)
    parent = str(made.info.run_id)
    log_facts(client, parent, flat(settings.model_dump(mode="json", by_alias=True)), {})
    return parent


def parent_in_progress(client: MlflowClient, experiment: str, settings: Settings) -> str | None:
    """Return the run of the pipeline run that a stage is part of; None outside of one."""
    run = read_pipeline()
    if run is None or not any(stage.status == RUNNING for stage in run.stages):
        return None
    return open_parent(client, experiment, run, settings)


def update_parent(run: PipelineRun, before: PipelineRun | None, settings: Settings) -> None:
    """Bring MLflow up to date with a pipeline run: its state, and its stages as children.

    Args:
        run: the pipeline run.
        before: an earlier one; if it is still open, it is closed.
        settings: of the pipeline.
    """
    client, experiment = connect(settings.register_.experiment)
    if before is not None and before.status != FINISHED:
        _close(client, experiment, before)
    parent = open_parent(client, experiment, run, settings)
    log_stages(client, experiment, parent, run)
    if run.status == RUNNING:
        client.update_run(parent, status=RUNNING)
    else:
        client.set_terminated(parent, run.status)


def attach_files(run: str, settings: Settings, files: Iterable[Path]) -> None:
    """Attach files to a run as `report/NAME`; a store that fails costs one line."""
    try:
        client, _ = connect(settings.register_.experiment)
        for file in files:
            if file.is_file():
                client.log_artifact(run, str(file), "report")
    except Exception as error:  # a store may raise anything; the stage goes on
        print(f"report is not in MLflow: {error}", file=sys.stderr)


def _close(client: MlflowClient, experiment: str, run: PipelineRun) -> None:
    """Close a pipeline run that another one has taken the place of."""
    parent = find_parent(client, experiment, run)
    if parent is not None and parent.info.status == RUNNING:
        whole = all(stage.status == FINISHED for stage in run.stages)
        client.set_terminated(str(parent.info.run_id), FINISHED if whole else KILLED)


def log_stages(client: MlflowClient, experiment: str, parent: str, run: PipelineRun) -> None:
    """Log the stages that have ended as runs under that of the pipeline, each once.

    The trainings have logged themselves.
    """
    known = {
        (child.data.tags.get(STAGE), child.data.tags.get(STARTED)): child.info
        for child in client.search_runs([experiment], f"tags.`{PARENT}` = '{parent}'")
    }
    for stage in run.stages:
        info = known.get((stage.stage, str(stage.started)))
        if stage.ended is None or stage.stage in Paths.trained():
            continue
        if info is None:
            tags = origin_tags(stage.stage) | {PARENT: parent, STAGE: stage.stage}
            tags[STARTED] = str(stage.started)
            info = client.create_run(experiment, stage.started, tags, stage.stage).info
        if info.status == RUNNING:
            _log_stage(client, str(info.run_id), stage, stage.ended)


def _log_stage(client: MlflowClient, child: str, stage: StageRun, ended: int) -> None:
    figures = {"seconds": (ended - stage.started) / 1000, "cpu_seconds": stage.cpu_seconds}
    if stage.peak_mb:
        figures["peak_mb"] = stage.peak_mb
    log_facts(client, child, {}, figures, ended)
    log_datasets(client, child, stage.stage)
    client.set_terminated(child, stage.status, ended or now_ms())
