"""The flow `portrait`: DVC's graph, a task per stage, independent branches in parallel.

`python -m flows.portrait` runs it on a temporary Prefect server, in a supervised process of its
own; `prefect deployment run portrait/embedded` on a running one. DVC executes the stages either
way, so cache and lock are those of `dvc repro`.
"""

from __future__ import annotations

import sys

from flows.arguments import Arguments, parse

if __name__ == "__main__":
    from flows.shortcut import look_after, nothing_due
    from flows.supervision import run_supervised

    # Before Prefect is imported, which takes seconds: a wrong stage is refused at once, and a run
    # that has nothing to do needs no server.
    asked = parse()
    steps_here = [] if asked.remote else nothing_due(asked.targets)
    if steps_here:
        sys.exit(look_after(steps_here))
    sys.exit(run_supervised("flows.supervised", sys.argv[1:]))

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, runtime

from flows.graph import SET_SIGN, read_graph, stage_of
from flows.parameters import Overrides, Retries, StageName, given_settings
from flows.processes import Children, StageFailed
from flows.runs import FLOW
from flows.shortcut import PORTRAITS, REGISTER
from flows.stages import (
    Summary,
    check_remote,
    check_sources,
    ensure_registered,
    push,
    run_steps,
    show_measures,
    tell_champions,
)


def name_of_run() -> str:
    """Return the name of a run: what it is to reach, and when it was begun."""
    targets = runtime.flow_run.parameters.get("targets") or ["everything"]
    return f"{'-'.join(targets)}-{time.strftime('%Y-%m-%d-%H%M%S')}".replace(SET_SIGN, "-of-")


@flow(
    name="portrait",
    flow_run_name=name_of_run,
    **FLOW,
)
def portrait(
    targets: list[StageName] | None = None,
    settings: Overrides | None = None,
    retries: Retries = Arguments.retries,
    remote: str | None = None,
    folder: str | None = None,
) -> dict[str, Any]:
    """Bring the pipeline up to date: alignment, inversion, destylization, fine-tuning, evaluation,
    registration, of every style set.

    Args:
        targets: stages to reach; all when None.
        settings: values to put into params.yaml first, as `dvc exp run -S` does.
        retries: attempts after a failed one, per stage; refused input is not tried again.
        remote: DVC remote to push to afterwards; none when None.
        folder: of the project; by default the working folder.

    Returns:
        What was made and in which time, what was up to date, and the champions: see `Summary`.

    Raises:
        SettingsError: a target is no stage, or a setting is refused.
        StageFailed: a stage failed after its retries; independent ones have been finished.
    """
    project = str(Path(folder or ".").resolve())
    try:
        change_settings(project, given_settings(settings))
        return bring_up_to_date(project, targets or (), retries, remote).as_dict()
    except Exception:
        raise
    except BaseException:  # a signal: what the tasks wait for ends, and they with it
        Children.end()
        raise


def change_settings(project: str, overlay: Mapping[str, Any]) -> None:
    """Put settings into a project's params.yaml, and log what changes (SettingsError)."""
    if not overlay:
        return
    from tasks.shared.profile import put_settings
    from tasks.shared.settings import DEFAULT_FILE

    changes = put_settings(overlay, "the form", Path(project) / DEFAULT_FILE)
    for key, (old, new) in changes.items():
        get_run_logger().info("%s: %s -> %s", key, old, new)


def bring_up_to_date(
    project: str, targets: Sequence[str], retries: int, remote: str | None
) -> Summary:
    """Run what is due, see `portrait`."""
    start, summary = time.monotonic(), Summary()
    steps = read_graph(project, targets)
    if any(stage_of(step.name) == PORTRAITS for step in steps):
        check_sources(project)
    if remote is not None:
        check_remote(remote, project)
    run_steps(steps, project, retries, summary)
    for step in steps:
        if stage_of(step.name) == REGISTER and step.name not in summary.made:
            ensure_registered(step.name.partition(SET_SIGN)[2], project)
    tell_champions(steps, project, summary)
    if summary.made:
        show_measures(project)
    if remote is not None:
        push(remote, project)
    summary.seconds = round(time.monotonic() - start, 1)
    told = (len(summary.made), len(summary.up_to_date), summary.seconds)
    get_run_logger().info("%d steps made, %d up to date, %.1f s", *told)
    return summary


def main(given: Arguments) -> None:
    """Run the flow; a failed stage ends the process with its message and code 1."""
    Children.supervised = True
    try:
        portrait(targets=list(given.targets) or None, retries=given.retries, remote=given.remote)
    except StageFailed as error:
        print(f"portrait: {error}", file=sys.stderr)
        sys.exit(1)
