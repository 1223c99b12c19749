"""Live log of a training in MLflow: curves, sample grids, data and the machine's use."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.shared.datasets import log_datasets
from tasks.shared.parents import parent_in_progress
from tasks.shared.runs import (
    SAMPLES,
    StepTimes,
    close_orphans,
    curve_points,
    find_run,
    log_facts,
    new_run,
    take_run,
)
from tasks.shared.settings import Settings
from tasks.shared.tracking import connect, flat

if TYPE_CHECKING:
    from mlflow import MlflowClient

FLUSH_STEPS = 100
FLUSH_SECONDS = 5.0


class Live:
    """Live log of a training in MLflow: scalars in batches, sample grids as they are rendered.

    A run is identified by the training's fingerprint, which the stage's output holds, so that a
    killed training continues its run. If the store fails, only the live log is lost: `register`
    completes the run from the stage's output.

    Args:
        stage: name of the stage, of its section, and of the run.
        settings: of the pipeline.
    """

    def __init__(self, stage: str, settings: Settings) -> None:
        self.stage, self.settings = stage, settings
        self.client: MlflowClient | None = None
        self.monitor: Any = None
        self.times: StepTimes | None = None
        self.run = ""
        self.queue: list[Mapping[str, float]] = []
        self.flushed = time.monotonic()

    def begin(self, fingerprint: str) -> None:
        """Create the run, or open the one of a killed training."""

        def open_run() -> None:
            client, experiment = connect(self.settings.register_.experiment)
            parent = parent_in_progress(client, experiment, self.settings)
            run = find_run(client, experiment, fingerprint)
            self.times = StepTimes(self.stage, fingerprint)
            if run is None or run.info.status == "FINISHED":
                self.times.forget()
                run = new_run(client, experiment, self.stage, fingerprint, parent)
                every = self.settings.model_dump(mode="json", by_alias=True)
                used = {name: every[name] for name in ("profile", self.stage)}
                log_facts(client, run.info.run_id, flat(used), {})
            self.run = str(run.info.run_id)
            close_orphans(client, experiment)
            take_run(client, self.run)
            log_datasets(client, self.run, self.stage)
            self.client = client
            self.monitor = watch_machine(self.run)

        self._try(open_run)

    def metrics(self, step: int, scalars: Mapping[str, float]) -> None:
        """Queue a step's scalars; they are sent every few seconds."""
        if self.client is None:
            return
        self.queue.append({**scalars, "step": step})
        if time.monotonic() - self.flushed >= FLUSH_SECONDS or len(self.queue) >= FLUSH_STEPS:
            self._flush()

    def picture(self, path: Path) -> None:
        """Send a sample grid."""
        client = self.client
        if client is not None:
            self._try(lambda: client.log_artifact(self.run, str(path), f"{SAMPLES}/{self.stage}"))

    def end(self, history: Sequence[Mapping[str, float]]) -> None:
        """Send all scalars and close the run; MLflow stores a repeated point once.

        Args:
            history: scalars of all steps, with those that a killed process had not sent.
        """
        self.queue = list(history)
        self._flush()
        self._close("FINISHED")

    def stop(self) -> None:
        """Mark the run as killed; the stage goes on in it when it is run again."""
        self._close("KILLED")

    def _close(self, status: str) -> None:
        client, monitor = self.client, self.monitor
        self.monitor = None
        if monitor is not None:
            self._try(monitor.finish)
        if client is not None:
            self._try(lambda: client.set_terminated(self.run, status))

    def _flush(self) -> None:
        client, times, rows = self.client, self.times, self.queue
        self.queue, self.flushed = [], time.monotonic()
        if client is None or times is None or not rows:
            return
        points = curve_points(self.stage, rows, times)
        self._try(lambda: client.log_batch(self.run, metrics=points))

    def _try(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:  # a store may raise anything; the training goes on
            self.client = None
            print(f"{self.stage}: no live view in MLflow: {error}", file=sys.stderr)


def watch_machine(run: str) -> Any:
    """Start MLflow's thread that logs the machine's use to a run, and return it."""
    from mlflow.system_metrics import system_metrics_monitor

    machine: Any = system_metrics_monitor  # which has no types
    logging.getLogger(machine.__name__).setLevel(logging.WARNING)
    monitor = machine.SystemMetricsMonitor(run, resume_logging=True)
    monitor.start()
    return monitor
