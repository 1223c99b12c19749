"""Record of the pipeline run in progress: its stages, when each ran, and how it ended.

A pipeline run begins with the first stage that runs in a DVC project and ends with `register` or
`report`. One that was stopped goes on while the settings are the same. The record lies beside the
outputs, is no output itself, and needs no MLflow: a stage that logs nothing does not import it,
unless it is the first.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from dualstylegan.errors import DataError
from dualstylegan.io.files import read_json, write_json
from dualstylegan.io.locks import exclusive
from tasks.shared.paths import Paths
from tasks.shared.settings import Settings

GRAPH = Path("dvc.yaml")
LAST_STAGES = ("register", "report")
# States of a stage and of a pipeline run, those of MLflow.
RUNNING, FINISHED, FAILED, KILLED = "RUNNING", "FINISHED", "FAILED", "KILLED"


@dataclass
class StageRun:
    """One run of a stage.

    Attributes:
        stage: its name.
        started, ended: in milliseconds since 1970; None while it runs.
        status: as MLflow has it.
        cpu_seconds: of its process.
        peak_mb: the most memory that its process had, in MB; 0 where the system does not tell.
    """

    stage: str
    started: int
    ended: int | None = None
    status: str = RUNNING
    cpu_seconds: float = 0.0
    peak_mb: float = 0.0


@dataclass
class PipelineRun:
    """A run of the pipeline.

    Attributes:
        token: by which its run in MLflow is found.
        folder: of the project, so that a copy begins a run of its own.
        settings: digest of the settings that results depend on.
        started: in milliseconds since 1970.
        status: as MLflow has it.
        stages: runs of stages, in the order of their beginnings.
    """

    token: str
    folder: str
    settings: str
    started: int
    status: str = RUNNING
    stages: list[StageRun] = field(default_factory=list)

    def takes(self, stage: str, settings: str) -> bool:
        """Return True if a stage that begins now is part of this run."""
        if (self.folder, self.settings) != (str(Path.cwd()), settings):
            return False
        done = {run.stage for run in self.stages if run.status == FINISHED}
        return self.status != FINISHED or stage not in done


def now_ms() -> int:
    """Return the time in milliseconds since 1970, as MLflow has it."""
    return time.time_ns() // 1_000_000


def new_pipeline(settings: Settings) -> PipelineRun:
    """Return a pipeline run that begins now."""
    return PipelineRun(uuid.uuid4().hex, str(Path.cwd()), settings_digest(settings), now_ms())


def settings_digest(settings: Settings) -> str:
    """Return a digest of the settings, without those that change no result."""
    text = json.dumps(settings.model_dump(mode="json", exclude={"runtime"}), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_pipeline() -> PipelineRun | None:
    """Return the newest pipeline run of this folder; None if there is none."""
    if not Paths.pipeline.is_file():
        return None
    try:
        stored = read_json(Paths.pipeline)
        stages = [StageRun(**stage) for stage in stored.pop("stages")]
        run = PipelineRun(**stored, stages=stages)
    except (DataError, TypeError, KeyError, AttributeError):
        return None  # a record that is damaged costs the connection to earlier stages
    return run if run.folder == str(Path.cwd()) else None


@contextmanager
def recorded(stage: str, settings: Settings | None) -> Iterator[None]:
    """Record a run of a stage; without effect outside of a DVC project.

    Args:
        stage: its name.
        settings: of the pipeline; None: the stage is no part of it.
    """
    if settings is None or not GRAPH.is_file():
        yield
        return
    begun, before = _enter(stage, settings)
    if before is not begun:
        _tell(begun, before, settings)
    try:
        yield
    except BaseException as error:
        fault = isinstance(error, Exception)
        run = _leave(stage, FAILED if fault else KILLED, FAILED if fault else None)
        if fault:  # a signal leaves no time for it
            _tell(run, None, settings)
        raise
    last = stage in LAST_STAGES
    run = _leave(stage, FINISHED, FINISHED if last else None)
    if last:
        _tell(run, None, settings)


def _enter(stage: str, settings: Settings) -> tuple[PipelineRun, PipelineRun | None]:
    """Record that a stage begins; return its pipeline run and the one that was open before.

    Both are the same object where nothing has to be told: the run goes on.
    """
    with exclusive(Paths.pipeline):
        run = before = read_pipeline()
        if run is None or not run.takes(stage, settings_digest(settings)):
            run = new_pipeline(settings)
        elif run.status == FAILED:
            run.status, before = RUNNING, None
        ended = [one for one in run.stages if (one.stage, one.status) != (stage, RUNNING)]
        run.stages = [*ended, StageRun(stage, now_ms())]
        write_json(Paths.pipeline, asdict(run))
    return run, before


def _leave(stage: str, status: str, pipeline: str | None) -> PipelineRun | None:
    """Record how a stage ended, and the state of the pipeline run if that changes."""
    cpu_seconds, peak_mb = usage()
    with exclusive(Paths.pipeline):
        run = read_pipeline()
        if run is None:
            return None
        for one in run.stages:
            if (one.stage, one.status) == (stage, RUNNING):
                one.ended, one.status = now_ms(), status
                one.cpu_seconds, one.peak_mb = cpu_seconds, peak_mb
        run.status = pipeline or run.status
        write_json(Paths.pipeline, asdict(run))
    return run


def _tell(run: PipelineRun | None, before: PipelineRun | None, settings: Settings) -> None:
    """Bring MLflow up to date with a pipeline run; a store that fails costs one line."""
    from tasks.shared.parents import update_parent

    try:
        if run is not None:
            update_parent(run, before, settings)
    except Exception as error:  # a store may raise anything; the stage goes on
        print(f"no run of the pipeline in MLflow: {error}", file=sys.stderr)


def usage() -> tuple[float, float]:
    """Return the CPU-seconds of this process, and its largest memory in MB, 0 if not known."""
    try:
        import resource
    except ImportError:  # Windows
        return round(time.process_time(), 2), 0.0
    used = resource.getrusage(resource.RUSAGE_SELF)
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return round(used.ru_utime + used.ru_stime, 2), round(used.ru_maxrss * unit / 1e6, 1)
