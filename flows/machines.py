"""The flows `machines` and `stages`: one pipeline on machines of two kinds.

`machines` runs in one folder of the project. It hands stages that train or fit to the deployment
`stages/gpu`, whose workers have folders of their own. The two share Prefect's server and a DVC
remote alone: outputs travel through the remote, DVC's lock through the server, code by git.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, runtime

from dualstylegan.errors import SettingsError
from dualstylegan.io.files import write_text
from flows.graph import Step, read_graph, stage_of
from flows.handover import code_digest, hand_over, pull, tell
from flows.parameters import Retries, StageName
from flows.processes import Children
from flows.runs import FLOW
from flows.stages import ON_GPU, Summary, check_remote, push, run_steps

LOCK = "dvc.lock"


def batches(steps: Sequence[Step]) -> Iterator[tuple[bool, list[Step]]]:
    """Group due steps by machine, with as few changes as their order allows.

    Args:
        steps: in an order in which they can run.

    Yields:
        True for steps of the GPU's machine, and the steps.
    """
    left = [step for step in steps if step.due]
    done = {step.name for step in steps if not step.due}
    there = False
    while left:
        group: list[Step] = []
        for step in left:
            known = done | {before.name for before in group}
            if (stage_of(step.name) in ON_GPU) == there and step.needs <= known:
                group.append(step)
        if group:
            yield there, group
        done |= {step.name for step in group}
        left = [step for step in left if step.name not in done]
        there = not there


def name_of_run() -> str:
    """Return the name of a run of `stages`: its steps."""
    names = runtime.flow_run.parameters["names"]
    return f"{names[0]} and {len(names) - 1} more"


@flow(
    name="stages",
    flow_run_name=name_of_run,
    **FLOW,
)
def stages(
    names: list[str],
    lock: str,
    code: str,
    remote: str,
    retries: Retries = 1,
    folder: str | None = None,
) -> dict[str, float]:
    """Run steps for another folder of the project: pull what they read, push what they make.

    Args:
        names: of the steps, in an order in which they can run.
        lock: content of the other folder's dvc.lock.
        code: the other folder's `code_digest`.
        remote: DVC remote that both have.
        retries: attempts after a failed one, per step.
        folder: of the project; by default the working folder.

    Returns:
        Seconds per step.

    Raises:
        SettingsError: this folder has other code or settings, or its remote cannot be written.
        StageFailed: a step failed after its retries; what the others made is in the remote.
    """
    project = Path(folder or ".").resolve()
    if code_digest(project) != code:
        raise SettingsError(
            "this folder has other code or settings than the one that asks",
            file=project,
            fix="bring both to one commit, with the same params.yaml",
        )
    check_remote(remote, str(project))
    own = project / LOCK
    before = own.read_text("utf-8") if own.exists() else None
    summary = Summary()
    try:
        write_text(own, lock)
        pull(remote, str(project))
        steps = [replace(s, due=True) for s in read_graph(project, names) if s.name in names]
        try:
            run_steps(steps, str(project), retries, summary)
        finally:
            if not Children.ending:
                push(remote, str(project))
        tell(summary.made, own.read_text("utf-8"))
    except Exception:
        raise
    except BaseException:  # a signal
        Children.end()
        raise
    finally:  # the lock of this folder is git's
        if before is None:
            own.unlink(missing_ok=True)
        else:
            write_text(own, before)
    return summary.made


@flow(
    name="machines",
    **FLOW,
)
def machines(
    remote: str,
    targets: list[StageName] | None = None,
    retries: Retries = 1,
    folder: str | None = None,
) -> dict[str, Any]:
    """Bring the pipeline up to date, stages that train or fit on the machine with a GPU.

    Args:
        remote: DVC remote through which results travel.
        targets: stages to reach; all when None.
        retries: attempts after a failed one, per stage.
        folder: of the project; by default the working folder.

    Returns:
        What was made and in which time, and what was up to date: see `flows.stages.Summary`.

    Raises:
        SettingsError: a target is no stage, or the remote cannot be written.
        StageFailed: a stage failed, here or there.
    """
    start, project = time.monotonic(), str(Path(folder or ".").resolve())
    summary = Summary()
    try:
        check_remote(remote, project)
        steps = read_graph(project, targets or ())
        summary.up_to_date = [step.name for step in steps if not step.due]
        for there, group in batches(steps):
            if there:
                made = _made_there(group, project, remote, retries)
                summary.made |= made
                summary.up_to_date += [step.name for step in group if step.name not in made]
            else:
                run_steps(group, project, retries, summary)
        push(remote, project)
    except Exception:
        raise
    except BaseException:  # a signal
        Children.end()
        raise
    summary.seconds = round(time.monotonic() - start, 1)
    get_run_logger().info("%d steps made, %.1f s", len(summary.made), summary.seconds)
    return summary.as_dict()


def _made_there(group: Sequence[Step], project: str, remote: str, retries: int) -> dict[str, float]:
    """Have steps made on the GPU's machine, and pull their outputs; return their seconds."""
    push(remote, project)
    lock, names = Path(project, LOCK), [step.name for step in group]
    parameters = {
        "names": names,
        "lock": lock.read_text("utf-8") if lock.exists() else "",
        "code": code_digest(project),
        "remote": remote,
        "retries": retries,
    }
    told = hand_over(names[0], len(names) - 1, parameters)
    write_text(lock, told["lock"])
    pull(remote, project, names)
    made: dict[str, float] = told["made"]
    return made
