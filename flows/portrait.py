"""The flow `portrait`: DVC's graph, a task per stage, independent branches in parallel.

`python -m flows.portrait` runs it on a temporary Prefect server, in a supervised process of its
own; `prefect deployment run portrait/embedded` on a running one. DVC executes the stages either
way, so cache and lock are those of `dvc repro`.
"""

from __future__ import annotations

import sys

from flows.arguments import Arguments, parse

if __name__ == "__main__":
    from flows.supervision import run_supervised

    # Parsed before Prefect is imported, which takes seconds: a wrong stage is refused at once.
    parse()
    sys.exit(run_supervised("flows.supervised", sys.argv[1:]))

import base64
import io
import logging
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from prefect import Task, flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.futures import PrefectFuture
from prefect.task_runners import ThreadPoolTaskRunner

from dualstylegan.io.processes import guarded
from flows.graph import SET_SIGN, Step, read_graph, stage_of

PARALLEL = 2
REGISTER = "register"
PORTRAITS = "portraits"
IMAGE_PX = 512
# Any: Prefect declares runners as invariant in the type of their futures.
RUNNER: Any = ThreadPoolTaskRunner(max_workers=PARALLEL)


class StageFailed(RuntimeError):
    """Failure of a stage; the message ends with its last lines."""


class Children:
    """Processes that the flow's tasks wait for, each in a process group of its own."""

    running: set[subprocess.Popen[str]] = set()  # noqa: RUF012
    ending = False
    supervised = False

    @classmethod
    def end(cls) -> None:
        """End all of them, and start no more; the supervisor has said so already."""
        cls.ending = True
        if cls.supervised:
            logging.disable(logging.CRITICAL)
        for process in list(cls.running):
            end_group(process)


def end_group(process: subprocess.Popen[str]) -> None:
    """End a process and its group by SIGTERM."""
    with suppress(ProcessLookupError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGTERM)
        else:
            process.terminate()


def run_module(module: str, arguments: Sequence[str], folder: Path) -> str:
    """Run a module, log every line of its output, and return the output.

    Raises:
        StageFailed: its exit code is not 0.
    """
    log = get_run_logger()
    if Children.ending:
        raise StageFailed(f"{module}: the flow is being stopped")
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    lines: list[str] = []
    # A process group of its own, so that stopping the flow ends the whole stage.
    with subprocess.Popen(
        guarded([sys.executable, "-m", module, *arguments]),
        cwd=folder,
        env={**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        Children.running.add(process)
        try:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line.rstrip())
                if lines[-1]:
                    log.info("%s", lines[-1])
        except BaseException:
            end_group(process)
            raise
        finally:
            Children.running.discard(process)
    if process.returncode:
        tail = "\n".join(lines[-15:])
        raise StageFailed(f"{module} {' '.join(arguments)}: code {process.returncode}\n{tail}")
    return "\n".join(lines)


def worth_retrying(_task: Task[Any, Any], _run: TaskRun, _state: State[Any]) -> bool:
    """Return True unless the flow is being stopped."""
    return not Children.ending


@task(
    task_run_name="{name}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retry_delay_seconds=1,
    retry_condition_fn=worth_retrying,
)
def run_stage(name: str, outs: tuple[str, ...], folder: str) -> None:
    """Bring one stage up to date and publish its newest image as an artifact."""
    run_module("dvc", ["--wait-for-lock", "repro", "--single-item", name], Path(folder))
    image = newest_image([Path(folder) / out for out in outs])
    if image is not None:
        text = f"### {image.name}\n\n![{name}]({data_url(image)})"
        key = "stage-" + "".join(c if c.isalnum() else "-" for c in name.lower())
        create_markdown_artifact(text, key=key, description=f"newest image of {name}")


@task(cache_policy=NO_CACHE, persist_result=False)
def check_source(folder: str) -> None:
    """Check the folders of portraits, of which DVC does not see those that are links."""
    run_module("tasks.shared.sources", [], Path(folder))


@task(cache_policy=NO_CACHE, persist_result=False, retries=2, retry_delay_seconds=2)
def push(remote: str, folder: str) -> None:
    """Push what the remote lacks, run cache included; idempotent, as objects go by content."""
    arguments = ["--wait-for-lock", "push", "--run-cache", "--remote", remote]
    run_module("dvc", arguments, Path(folder))


@task(cache_policy=NO_CACHE, persist_result=False)
def ensure_registered(style_set: str, folder: str) -> None:
    """Register a set's packaged model if the registry lacks it, as after a pull; idempotent."""
    run_module("tasks.register", [style_set, "--ensure"], Path(folder))


@task(cache_policy=NO_CACHE, persist_result=False)
def notify(stages: Sequence[str], folder: str) -> None:
    """Publish the stages that ran and the model's measures as an artifact."""
    measures = run_module("dvc", ["metrics", "show", "--md"], Path(folder))
    text = f"Stages run: {', '.join(stages)}\n\n{measures}"
    create_markdown_artifact(text, key="portrait-measures", description="measures of the model")


def newest_image(outs: Sequence[Path]) -> Path | None:
    """Return the newest PNG file among outputs, the last by name of equally new ones."""
    images = [path for out in outs if out.is_dir() for path in out.rglob("*.png")]
    return max(images, key=lambda path: (path.stat().st_mtime, str(path)), default=None)


def data_url(path: Path) -> str:
    """Return an image as a data: URL, reduced to a size fit for a page."""
    from dualstylegan.io.images import read_image

    image = read_image(path)
    image.thumbnail((IMAGE_PX, IMAGE_PX))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def submit(steps: Sequence[Step], folder: str, retries: int) -> dict[str, PrefectFuture[None]]:
    """Submit a task for each due step, to run after those that it needs."""
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
    retries: int = Arguments.retries,
    remote: str | None = None,
    folder: str | None = None,
) -> None:
    """Bring the pipeline up to date.

    Args:
        targets: stages to reach; all when None.
        retries: attempts after a failed one, per stage.
        remote: DVC remote to push to afterwards; none when None.
        folder: of the project; by default the working folder.

    Raises:
        SettingsError: a target is no stage.
        StageFailed: a stage failed after its retries; independent ones have been finished.
    """
    project = str(Path(folder or ".").resolve())
    try:
        bring_up_to_date(project, targets or (), retries, remote)
    except Exception:
        raise
    except BaseException:  # a signal: what the tasks wait for ends, and they with it
        Children.end()
        raise


def bring_up_to_date(
    project: str, targets: Sequence[str], retries: int, remote: str | None
) -> None:
    """Run what is due, see `portrait`."""
    steps = read_graph(project, targets)
    if any(stage_of(step.name) == PORTRAITS for step in steps):
        check_source(project)
    futures = submit(steps, project, retries)
    states: dict[str, State[None]] = {}
    for name, future in futures.items():
        future.wait()
        states[name] = future.state
    failed = [name for name, state in states.items() if state.is_failed() or state.is_crashed()]
    undone = [name for name, state in states.items() if not state.is_completed()]
    if undone:
        raise StageFailed(f"failed: {', '.join(failed) or 'none'}; not done: {', '.join(undone)}")
    for step in steps:
        if stage_of(step.name) == REGISTER and not step.due:
            ensure_registered(step.name.partition(SET_SIGN)[2], project)
    if futures:
        notify(list(futures), project)
    if remote is not None:
        push(remote, project)


def main(given: Arguments) -> None:
    """Run the flow; a failed stage ends the process with its message and code 1."""
    Children.supervised = True
    try:
        portrait(list(given.targets) or None, given.retries, given.remote)
    except StageFailed as error:
        print(f"portrait: {error}", file=sys.stderr)
        sys.exit(1)
