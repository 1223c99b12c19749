"""The flows `machines` and `stages`: one pipeline on machines of two kinds.

`machines` runs in one folder of the project. It hands stages that train or fit to the deployment
`stages/gpu`, whose workers have folders of their own. The two share Prefect's server and a DVC
remote alone: outputs travel through the remote, DVC's lock through the server, code by git.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import flow, get_run_logger, runtime, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
)
from prefect.deployments import run_deployment
from prefect.states import Cancelling
from prefect.tasks import exponential_backoff

from dualstylegan.errors import SettingsError
from dualstylegan.io.files import write_text
from flows.graph import GRAPH_FILE, Step, read_graph, stage_of
from flows.parameters import Retries, StageName
from flows.processes import Children, StageFailed, run_module
from flows.runs import BACKOFF_SECONDS, JITTER, RUNNER, TIMEOUT_SECONDS, tell_failure
from flows.stages import ON_GPU, PUSH_RETRIES, Summary, check_remote, push, run_steps
from tasks.shared.settings import DEFAULT_FILE

DEPLOYMENT = "stages/gpu"
LOCK = "dvc.lock"
LOCK_KEY = "dvc-lock"
CODE = ("dualstylegan", "tasks")
POLL_SECONDS = 2.0
FENCE = "```"


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


def code_digest(project: Path | str) -> str:
    """Return the digest of a folder's graph, settings and code of the stages."""
    root, digest = Path(project), hashlib.sha256()
    code = [path for name in CODE for path in (root / name).rglob("*.py")]
    for path in sorted([root / GRAPH_FILE, root / DEFAULT_FILE, *code]):
        # the same on systems with other line ends
        digest.update(path.relative_to(root).as_posix().encode() + b"\0")
        digest.update(path.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()


@task(
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=PUSH_RETRIES,
    retry_delay_seconds=exponential_backoff(BACKOFF_SECONDS),
    retry_jitter_factor=JITTER,
)
def pull(remote: str, folder: str, names: Sequence[str] = ()) -> None:
    """Pull what the lock names and the remote has, of some steps or of all."""
    run_module("dvc", ["pull", "--remote", remote, "--allow-missing", *names], Path(folder))


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="{first} and {more} more, there")
def hand_over(first: str, more: int, parameters: dict[str, Any]) -> dict[str, Any]:
    """Run steps on the GPU's machine; return their seconds and the lock (StageFailed).

    Args:
        first, more: name of the first step and number of the others, for the task's name.
        parameters: of the flow `stages`.
    """
    run: Any = run_deployment(DEPLOYMENT, parameters=parameters, timeout=0)
    try:
        while not (run.state is not None and run.state.is_final()):
            time.sleep(POLL_SECONDS)
            with get_client(sync_client=True) as client:
                run = client.read_flow_run(run.id)
            if Children.ending:
                raise StageFailed(f"{DEPLOYMENT}: the flow is being stopped")
    except BaseException:
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(run.id, Cancelling(), force=False)
        raise
    if not run.state.is_completed():
        raise StageFailed(f"{DEPLOYMENT}: {run.name}: {run.state.message}")
    return read_told(run.id)


def tell(made: dict[str, float], lock: str) -> None:
    """Publish the outcome of a run of `stages` for the one who asked for it."""
    told = json.dumps({"made": made, "lock": lock}, indent=1)
    text = f"{FENCE}json\n{told}\n{FENCE}"
    create_markdown_artifact(text, key=LOCK_KEY, description="steps made, and DVC's lock")


def read_told(run: UUID) -> dict[str, Any]:
    """Return what a run of `stages` has published."""
    wanted = ArtifactFilter(
        key=ArtifactFilterKey(any_=[LOCK_KEY]),
        flow_run_id=ArtifactFilterFlowRunId(any_=[run]),
    )
    with get_client(sync_client=True) as client:
        (found,) = client.read_artifacts(artifact_filter=wanted)
    told: dict[str, Any] = json.loads("\n".join(str(found.data).split("\n")[1:-1]))
    return told


def name_of_run() -> str:
    """Return the name of a run of `stages`: its steps."""
    names = runtime.flow_run.parameters["names"]
    return f"{names[0]} and {len(names) - 1} more"


@flow(
    name="stages",
    flow_run_name=name_of_run,
    task_runner=RUNNER,
    timeout_seconds=TIMEOUT_SECONDS,
    validate_parameters=True,
    persist_result=False,
    on_failure=[tell_failure],
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
    before = own.read_text() if own.exists() else None
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
        tell(summary.made, own.read_text())
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
    task_runner=RUNNER,
    timeout_seconds=TIMEOUT_SECONDS,
    validate_parameters=True,
    persist_result=False,
    on_failure=[tell_failure],
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
                summary.made |= _made_there(group, project, remote, retries)
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
        "lock": lock.read_text() if lock.exists() else "",
        "code": code_digest(project),
        "remote": remote,
        "retries": retries,
    }
    told = hand_over(names[0], len(names) - 1, parameters)
    write_text(lock, told["lock"])
    pull(remote, project, names)
    made: dict[str, float] = told["made"]
    return made
