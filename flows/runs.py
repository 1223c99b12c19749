"""Settings of runs that the flows share: runner, names, tags, retries, failures."""

from __future__ import annotations

from typing import Any

from prefect import Flow, Task
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import FlowRun, State, TaskRun
from prefect.task_runners import ThreadPoolTaskRunner

from flows.processes import REFUSED, Children, StageFailed

PARALLEL = 2
TIMEOUT_SECONDS = 48 * 3600
BACKOFF_SECONDS = 2
JITTER = 0.5
# Any: Prefect declares runners as invariant in the type of their futures.
RUNNER: Any = ThreadPoolTaskRunner(max_workers=PARALLEL)


def worth_retrying(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    """Return True for failures that may pass: no refused input, and no flow being stopped."""
    if Children.ending:
        return False
    error = state.result(raise_on_failure=False)
    return not (isinstance(error, StageFailed) and error.code == REFUSED)


def tell_failure(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Publish why a run failed, for whoever is notified of it."""
    text = f"### {flow_run.name}\n\n```text\n{state.message}\n```"
    create_markdown_artifact(
        text, key=f"{flow.name}-failure", description="why the last run failed"
    )


# Of every flow.
FLOW: dict[str, Any] = {
    "task_runner": RUNNER,
    "timeout_seconds": TIMEOUT_SECONDS,
    "validate_parameters": True,
    "persist_result": False,
    "on_failure": [tell_failure],
}
