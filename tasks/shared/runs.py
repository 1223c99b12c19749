"""Runs in MLflow: their tags, facts and curves, and the process that each belongs to."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dualstylegan.io.files import read_json
from tasks.shared.dataframes import read_dataframe
from tasks.shared.paths import Paths
from tasks.shared.pipeline import now_ms

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

RUN_FILE = "run.json"
CURVES_FILE = "curves.parquet"
SAMPLES = "samples"
# Tags of runs: training, process that runs it, stage.
FINGERPRINT = "fingerprint"
PROCESS = "process"
STAGE = "stage"
PARENT = "mlflow.parentRunId"
NOTE = "mlflow.note.content"
FIRST_MS = 10**12  # of any time since 2001


def modified_ms(path: Path) -> int:
    """Return when a file was written, in milliseconds since 1970."""
    return path.stat().st_mtime_ns // 1_000_000


class StepTimes:
    """Times at which a training first took its steps.

    They are kept beside the stage's output, whose bytes are the same for every run. A step that a
    killed run had taken keeps its time, so that MLflow stores a point once that is sent twice.

    Args:
        stage: of the training.
        fingerprint: of the training; times of another one are dropped.
    """

    def __init__(self, stage: str, fingerprint: str) -> None:
        self.path, self.fingerprint = Paths.timings / "steps" / f"{stage}.txt", fingerprint
        lines = self.path.read_text("utf-8").splitlines() if self.path.is_file() else []
        self.times: dict[int, int] = {}
        if lines[:1] != [fingerprint]:
            self.forget()
            return
        for line in lines[1:]:
            with suppress(ValueError):
                step, milliseconds = map(int, line.split())
                if milliseconds >= FIRST_MS:  # a killed process may leave half a line
                    self.times.setdefault(step, milliseconds)

    def forget(self) -> None:
        """Drop all times, as where a training that was finished is done again."""
        self.times = {}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(f"{self.fingerprint}\n", "utf-8")

    def at(self, *steps: int) -> list[int]:
        """Return the times of steps in milliseconds; those that have none are taken now."""
        fresh = [step for step in steps if step not in self.times]
        if fresh:
            now = now_ms()
            self.times |= dict.fromkeys(fresh, now)
            with open(self.path, "a", encoding="utf-8") as file:
                file.write("".join(f"\n{step} {now}" for step in fresh))
        return [self.times[step] for step in steps]


def origin_tags(stage: str | None = None) -> dict[str, str]:
    """Return MLflow's own tags of where a run comes from: user, source, commit.

    Args:
        stage: whose module is the source; None: the running program.
    """
    from mlflow.tracking.context.registry import resolve_tags

    tags = {str(key): str(value) for key, value in resolve_tags().items()}
    return tags if stage is None else tags | {"mlflow.source.name": f"tasks/{stage}.py"}


def this_process() -> str:
    """Return host, number and start of this process, by which it is told from all others."""
    import psutil

    process = psutil.Process()
    return f"{platform.node()} {process.pid} {process.create_time():.0f}"


def _has_ended(process: str) -> bool:
    """Return True for a process of this machine, see `this_process`, that runs no more."""
    import psutil

    host, number, start = process.rsplit(" ", 2)
    if host != platform.node():
        return False
    try:
        return f"{psutil.Process(int(number)).create_time():.0f}" != start
    except psutil.NoSuchProcess:
        return True
    except (psutil.Error, ValueError):
        return False


def take_run(client: MlflowClient, run: str) -> None:
    """Mark a run as running in this process."""
    client.set_tag(run, PROCESS, this_process())
    client.update_run(run, status="RUNNING")


def close_orphans(client: MlflowClient, experiment_id: str) -> None:
    """Mark the runs of ended processes as killed, which MLflow shows as running for ever."""
    for run in client.search_runs([experiment_id], "attributes.status = 'RUNNING'"):
        process = run.data.tags.get(PROCESS, "")
        if process.count(" ") >= 2 and _has_ended(process):
            client.set_terminated(run.info.run_id, "KILLED")


@contextmanager
def killed_unless_done(client: MlflowClient, run: str) -> Iterator[None]:
    """Mark a run as killed if the block ends with an error or a signal."""
    try:
        yield
    except BaseException:
        with suppress(Exception):
            client.set_terminated(run, "KILLED")
        raise


def log_facts(
    client: MlflowClient,
    run: str,
    parameters: Mapping[str, str],
    measures: Mapping[str, float],
    milliseconds: int | None = None,
) -> None:
    """Log parameters, but for those that the run has, and measures, in one batch each.

    Args:
        client, run: see MLflow.
        parameters: by name.
        measures: by name.
        milliseconds: time of the measures; None: now.
    """
    from mlflow.entities import Metric, Param

    known = client.get_run(run).data.params
    parameters = {key: value for key, value in parameters.items() if key not in known}
    client.log_batch(run, params=[Param(k, v[:5000]) for k, v in parameters.items()])
    taken = now_ms() if milliseconds is None else milliseconds
    client.log_batch(run, metrics=[Metric(k, v, taken, 0) for k, v in measures.items()])


def curve_points(
    stage: str, history: Sequence[Mapping[str, float]], times: StepTimes
) -> list[Metric]:
    """Return the scalars of steps as points STAGE/NAME; those that are no number are left out."""
    import math

    from mlflow.entities import Metric

    taken = times.at(*(int(row["step"]) for row in history))
    return [
        Metric(f"{stage}/{name}", float(value), milliseconds, int(row["step"]))
        for row, milliseconds in zip(history, taken, strict=True)
        for name, value in row.items()
        if name != "step" and math.isfinite(value)
    ]


def log_curves(client: MlflowClient, run: str, stage: str, table: Path, times: StepTimes) -> None:
    """Log every numeric column of curves.parquet as STAGE/NAME over its steps."""
    if not table.is_file():
        return
    frame = read_dataframe(table).select_dtypes("number")
    history = [{str(name): float(x) for name, x in row.items()} for row in frame.to_dict("records")]
    client.log_batch(run, metrics=curve_points(stage, history, times))


def find_run(client: MlflowClient, experiment_id: str, fingerprint: str) -> Any | None:
    """Return the newest run of a training by its fingerprint; None if there is none."""
    runs = client.search_runs([experiment_id], f"tags.{FINGERPRINT} = '{fingerprint}'")
    return runs[0] if runs else None


def new_run(
    client: MlflowClient, experiment_id: str, stage: str, fingerprint: str, parent: str | None
) -> Any:
    """Create the run of a training, under that of the pipeline if there is one."""
    tags = origin_tags(stage) | {STAGE: stage, FINGERPRINT: fingerprint}
    if parent is not None:
        tags[PARENT] = parent
    return client.create_run(experiment_id, run_name=stage, tags=tags)


def training_run(
    client: MlflowClient, experiment_id: str, stage: str, folder: Path, parent: str | None = None
) -> str | None:
    """Return the run of a training from its output folder; create it from the output if missing.

    Returns:
        Its id; None where there is no output.
    """
    if not (folder / RUN_FILE).is_file():
        return None
    fingerprint = str(read_json(folder / RUN_FILE)[FINGERPRINT])
    run = find_run(client, experiment_id, fingerprint)
    if run is not None and run.info.status == "FINISHED":
        return str(run.info.run_id)
    run = run or new_run(client, experiment_id, stage, fingerprint, parent)
    name = str(run.info.run_id)
    log_curves(client, name, stage, folder / CURVES_FILE, StepTimes(stage, fingerprint))
    if (folder / SAMPLES).is_dir():
        client.log_artifacts(name, str(folder / SAMPLES), f"{SAMPLES}/{stage}")
    client.set_terminated(name)
    return name
