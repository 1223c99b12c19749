"""A task per stage of DVC's graph, and the steps around them."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.concurrency.sync import concurrency
from prefect.events import emit_event
from prefect.futures import PrefectFuture
from prefect.states import Completed
from prefect.tasks import exponential_backoff

from flows.artifacts import StageProgress, key_of, newest_image, show_picture, show_table
from flows.graph import SET_SIGN, Step, stage_of
from flows.processes import StageFailed, run_module
from flows.runs import BACKOFF_SECONDS, JITTER, worth_retrying
from flows.shortcut import REGISTER

REGISTRATION = "registration.json"
# Global concurrency limit of Prefect; without one of this name, no stage waits.
GPU = "gpu"
ON_GPU = frozenset(
    ("invert", "adapt", "destylize", "finetune", "refine", "package", "evaluate", "leaderboard")
)
CACHED = "Cached"
# Words of DVC.
UNCHANGED = "didn't change, skipping"
CHAMPION_MOVED = "dualstylegan.champion.moved"
PUSH_RETRIES = 2


@dataclass
class Summary:
    """Outcome of a run of the pipeline, as the flow returns it.

    Attributes:
        made: seconds per step that ran.
        up_to_date: steps that did not need to.
        champions: registered model and version of each style set that has one.
        moved: style sets with a new champion.
        seconds: of the whole.
    """

    made: dict[str, float] = field(default_factory=dict)
    up_to_date: list[str] = field(default_factory=list)
    champions: dict[str, str] = field(default_factory=dict)
    moved: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome as JSON values."""
        return asdict(self)


@task(
    task_run_name="{name}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retry_delay_seconds=exponential_backoff(BACKOFF_SECONDS),
    retry_jitter_factor=JITTER,
    retry_condition_fn=worth_retrying,
)
def run_stage(name: str, outs: tuple[str, ...], folder: str, due: bool) -> Any:
    """Bring one step up to date; return its seconds, or Prefect's state Cached if it was.

    A step that was due because of another one before it is so no longer if that one has made the
    same again. Its progress and its newest image are artifacts.
    """
    cached: State[Any] = Completed(name=CACHED, message=f"{name} is up to date", data=0.0)
    if not due:
        return cached
    start = time.monotonic()
    arguments = ["--wait-for-lock", "repro", "--single-item", name]
    with concurrency([GPU] if stage_of(name) in ON_GPU else [], strict=False):
        said = run_module("dvc", arguments, Path(folder), StageProgress(name))
    if f"Stage '{name}' {UNCHANGED}" in said:
        return cached
    image = newest_image([Path(folder) / out for out in outs])
    if image is not None:
        show_picture(key_of("stage", name), name, image)
    return round(time.monotonic() - start, 1)


@task(cache_policy=NO_CACHE, persist_result=False)
def check_sources(folder: str) -> None:
    """Check the folders of portraits, of which DVC does not see those that are links."""
    run_module("tasks.shared.sources", [], Path(folder))


@task(cache_policy=NO_CACHE, persist_result=False)
def check_remote(remote: str, folder: str) -> None:
    """Check that a remote can be written, before the work whose results it is to take."""
    run_module("tasks.shared.remotes", [remote], Path(folder))


@task(
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=PUSH_RETRIES,
    retry_delay_seconds=exponential_backoff(BACKOFF_SECONDS),
    retry_jitter_factor=JITTER,
)
def push(remote: str, folder: str) -> None:
    """Push what the remote lacks, run cache included; idempotent, as objects go by content."""
    arguments = ["--wait-for-lock", "push", "--run-cache", "--remote", remote]
    run_module("dvc", arguments, Path(folder))


@task(cache_policy=NO_CACHE, persist_result=False)
def ensure_registered(style_set: str, folder: str) -> None:
    """Register a set's packaged model if the registry lacks it, as after a pull; idempotent."""
    run_module("tasks.register", [style_set, "--ensure"], Path(folder))


@task(cache_policy=NO_CACHE, persist_result=False)
def show_measures(folder: str) -> None:
    """Publish the headline measures of every model as a table."""
    shown = json.loads(run_module("dvc", ["metrics", "show", "--json"], Path(folder)))
    rows = measure_rows(shown)
    if rows:
        show_table("portrait-measures", rows, "headline measures of each style set")


def measure_rows(shown: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the measures that `dvc metrics show --json` prints as rows, one per file."""
    files = (shown.get("") or shown.get("workspace") or {}).get("data") or {}
    return [
        {"file": name, **entry["data"]}
        for name, entry in sorted(files.items())
        if isinstance(entry.get("data"), Mapping)
    ]


def submit(steps: Sequence[Step], folder: str, retries: int) -> dict[str, PrefectFuture[Any]]:
    """Submit a task for each step, named after its stage, to run after those that it needs."""
    futures: dict[str, PrefectFuture[Any]] = {}
    for step in steps:
        stage = run_stage.with_options(
            name=stage_of(step.name),
            retries=retries,
            # a number of delays, which follows the number of retries
            retry_delay_seconds=exponential_backoff(BACKOFF_SECONDS),
        )
        before = [futures[need] for need in sorted(step.needs) if need in futures]
        futures[step.name] = stage.submit(
            name=step.name,
            outs=step.outs,
            folder=folder,
            due=step.due,
            return_state=False,
            wait_for=before,
        )
    return futures


def run_steps(steps: Sequence[Step], project: str, retries: int, summary: Summary) -> None:
    """Run steps and note what was made (StageFailed)."""
    futures = submit(steps, project, retries)
    states: dict[str, State[Any]] = {}
    for name, future in futures.items():
        future.wait()
        states[name] = future.state
    failed = [name for name, state in states.items() if state.is_failed() or state.is_crashed()]
    undone = [name for name, state in states.items() if not state.is_completed()]
    if undone:
        reasons = "".join(f"\n{states[name].message}" for name in failed)
        told = f"failed: {', '.join(failed) or 'none'}; not done: {', '.join(undone)}"
        raise StageFailed(told + reasons)
    for step in steps:
        if states[step.name].name != CACHED:
            summary.made[step.name] = float(futures[step.name].result())
        else:
            summary.up_to_date.append(step.name)


def tell_champions(steps: Sequence[Step], folder: str, summary: Summary) -> None:
    """Note the champion of each style set, and emit an event for one that has changed."""
    for step in steps:
        if stage_of(step.name) != REGISTER:
            continue
        path = next((Path(folder) / out for out in step.outs if out.endswith(REGISTRATION)), None)
        if path is None or not path.is_file():
            continue
        facts = json.loads(path.read_text())
        style_set = step.name.partition(SET_SIGN)[2]
        summary.champions[style_set] = f"{facts['model']} version {facts['champion']}"
        if step.name in summary.made and facts.get("promoted"):
            summary.moved.append(style_set)
            resource = f"dualstylegan.model.{facts['model']}"
            emit_event(
                CHAMPION_MOVED,
                {"prefect.resource.id": resource, "prefect.resource.name": str(facts["model"])},
                payload={"version": str(facts["champion"])},
            )
    if summary.champions:
        told = ", ".join(f"{name}: {one}" for name, one in summary.champions.items())
        get_run_logger().info("champions: %s", told)
