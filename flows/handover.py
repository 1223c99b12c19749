"""Steps handed to the machine with a GPU: what is asked of it, and what it answers."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
)
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelling
from prefect.tasks import exponential_backoff

from dualstylegan.errors import SettingsError
from flows.graph import GRAPH_FILE
from flows.processes import Children, StageFailed, run_module
from flows.runs import BACKOFF_SECONDS, JITTER
from flows.stages import PUSH_RETRIES
from tasks.shared.settings import DEFAULT_FILE

DEPLOYMENT = "stages/gpu"
LOCK_KEY = "dvc-lock"
CODE = ("dualstylegan", "tasks")
POLL_SECONDS = 2.0
FENCE = "```"


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
    """Run steps on the GPU's machine; return their seconds and the lock.

    Args:
        first, more: name of the first step and number of the others, for the task's name.
        parameters: of the flow `stages`.

    Raises:
        SettingsError: the server has no such deployment.
        StageFailed: a step failed there, or the flow is being stopped.
    """
    try:
        run: Any = run_deployment(DEPLOYMENT, parameters=parameters, timeout=0)
    except ObjectNotFound as error:
        raise SettingsError(
            "no such deployment",
            value=DEPLOYMENT,
            fix="prefect deploy --all --prefect-file flows/machines.yaml",
        ) from error
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
    """Return what a run of `stages` has published (StageFailed)."""
    wanted = ArtifactFilter(
        key=ArtifactFilterKey(any_=[LOCK_KEY]),
        flow_run_id=ArtifactFilterFlowRunId(any_=[run]),
    )
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=wanted)
    if not found:
        raise StageFailed(f"{DEPLOYMENT}: the run has ended without an answer; run it again")
    told: dict[str, Any] = json.loads("\n".join(str(found[0].data).split("\n")[1:-1]))
    return told
