"""The flow `portrait`: DVC's graph, a task a stage, independent branches side by side.

`python -m flows.portrait` runs it with a temporary Prefect server, `prefect deployment run
portrait/embedded` with one that is up. Stages are executed by DVC either way, so cache and lock are
those of `dvc repro`.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.task_runners import ThreadPoolTaskRunner

from flows.graph import Step, read_graph

PARALLEL = 2
REGISTER = "register"
RETRIES = 1
PICTURE_PX = 512
# Any: Prefect declares runners invariant in the kind of their futures.
RUNNER: Any = ThreadPoolTaskRunner(max_workers=PARALLEL)


class StageFailed(RuntimeError):
    """A stage did not end well; its last lines say why."""


def run_module(module: str, arguments: Sequence[str], folder: Path) -> str:
    """Run a module with every line of its output in the log; returns the output.

    Raises:
        StageFailed: it ended with another code than 0.
    """
    log = get_run_logger()
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    lines: list[str] = []
    # Its own process group, so that a cancelled flow takes the whole stage with it.
    with subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env={**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line.rstrip())
                if lines[-1]:
                    log.info("%s", lines[-1])
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            raise
    if process.returncode:
        tail = "\n".join(lines[-15:])
        raise StageFailed(f"{module} {' '.join(arguments)}: code {process.returncode}\n{tail}")
    return "\n".join(lines)


@task(task_run_name="{name}", cache_policy=NO_CACHE, persist_result=False, retry_delay_seconds=1)
def run_stage(name: str, outs: tuple[str, ...], folder: str) -> None:
    """Bring one stage up to date and show its last picture."""
    run_module("dvc", ["--wait-for-lock", "repro", "--single-item", name], Path(folder))
    picture = last_picture([Path(folder) / out for out in outs])
    if picture is not None:
        text = f"### {picture.name}\n\n![{name}]({data_address(picture)})"
        key = "stage-" + "".join(c if c.isalnum() else "-" for c in name.lower())
        create_markdown_artifact(text, key=key, description=f"the last picture of {name}")


@task(cache_policy=NO_CACHE, persist_result=False, retries=2, retry_delay_seconds=2)
def push(remote: str, folder: str) -> None:
    """Copy what the remote lacks to it, run cache included; by content, so twice is once."""
    arguments = ["--wait-for-lock", "push", "--run-cache", "--remote", remote]
    run_module("dvc", arguments, Path(folder))


@task(cache_policy=NO_CACHE, persist_result=False)
def ensure_registered(folder: str) -> None:
    """Register the packaged model where the store lacks it, after a pull; by content, so once."""
    run_module("tasks.register", ["--ensure"], Path(folder))


@task(cache_policy=NO_CACHE, persist_result=False)
def notify(stages: Sequence[str], folder: str) -> None:
    """Say what was made and what it measures, as an artifact; the same measures say the same."""
    measures = run_module("dvc", ["metrics", "show", "--md"], Path(folder))
    text = f"Made: {', '.join(stages)}\n\n{measures}"
    create_markdown_artifact(text, key="portrait-measures", description="measures of the model")


def last_picture(outs: Sequence[Path]) -> Path | None:
    """The newest PNG file among outputs, the last by name of equally new ones."""
    found = [path for out in outs if out.is_dir() for path in out.rglob("*.png")]
    return max(found, key=lambda path: (path.stat().st_mtime, str(path)), default=None)


def data_address(picture: Path) -> str:
    """A picture as a data: address, reduced to a size fit for a page."""
    from dualstylegan.io.images import read_image

    image = read_image(picture)
    image.thumbnail((PICTURE_PX, PICTURE_PX))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def submit(steps: Sequence[Step], folder: str, retries: int) -> dict[str, PrefectFuture[None]]:
    """Submit a task for each step that is due, after those that it needs."""
    log = get_run_logger()
    stage = run_stage.with_options(retries=retries)
    futures: dict[str, PrefectFuture[None]] = {}
    for step in steps:
        if not step.due:
            log.info("%s is up to date", step.name)
            continue
        before = [futures[need] for need in sorted(step.needs) if need in futures]
        futures[step.name] = stage.submit(
            name=step.name, outs=step.outs, folder=folder, return_state=False, wait_for=before
        )
    return futures


@flow(
    name="portrait",
    task_runner=RUNNER,
    validate_parameters=True,
    persist_result=False,
)
def portrait(
    targets: list[str] | None = None,
    retries: int = RETRIES,
    remote: str | None = None,
    folder: str | None = None,
) -> None:
    """Bring the pipeline up to date.

    Args:
        targets: stages to reach; all when None.
        retries: how often a failed stage is tried again.
        remote: DVC remote to push to afterwards.
        folder: of the project; by default where the flow runs.

    Raises:
        StageFailed: some stage failed after its retries; independent ones have been finished.
    """
    place = str(Path(folder or ".").resolve())
    steps = read_graph(place, targets or ())
    futures = submit(steps, place, retries)
    states: dict[str, State[None]] = {}
    for name, future in futures.items():
        future.wait()
        states[name] = future.state
    failed = [name for name, state in states.items() if state.is_failed() or state.is_crashed()]
    left = [name for name, state in states.items() if not state.is_completed()]
    if left:
        raise StageFailed(f"failed: {', '.join(failed) or 'none'}; not done: {', '.join(left)}")
    if any(step.name == REGISTER and not step.due for step in steps):
        ensure_registered(place)
    if futures:
        notify(list(futures), place)
    if remote is not None:
        push(remote, place)


def main() -> None:
    """`python -m flows.portrait [STAGE ...] [--retries N] [--remote NAME]`."""
    parser = argparse.ArgumentParser(description="Bring the pipeline up to date, watched.")
    parser.add_argument("targets", nargs="*", metavar="STAGE", help="stages to reach; default all")
    parser.add_argument("--retries", type=int, default=RETRIES)
    parser.add_argument("--remote", help="DVC remote to push to afterwards")
    given = parser.parse_args()
    try:
        portrait(given.targets or None, given.retries, given.remote)
    except StageFailed as error:
        print(f"portrait: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
