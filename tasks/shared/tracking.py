"""MLflow tracking: one sqlite file and local artifacts; nothing is sent anywhere."""

from __future__ import annotations

import os
import platform
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dualstylegan.errors import OutputError
from dualstylegan.io.files import read_json
from tasks.shared.dataframes import read_dataframe
from tasks.shared.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

DATABASE = Path("mlflow.db")
ARTIFACTS = Path("mlartifacts")
SQLITE = "sqlite:///"
# Columns of MLflow's schema that hold locations of artifacts.
LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
BATCH = 900  # MLflow takes at most 1000 metrics a call
FLUSH_SECONDS = 5.0
RUN_FILE = "run.json"
CURVES_FILE = "curves.parquet"
SAMPLES = "samples"
FINGERPRINT = "fingerprint"
PROCESS = "process"  # tag of a run: the process that it runs in
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "DO_NOT_TRACK": "1",
}


def open_store(project: Path = Path()) -> str:
    """Point MLflow at its store and return the address.

    MLFLOW_TRACKING_URI, where set, takes the place of the project's own mlflow.db. A database that
    was moved or copied with its project still names the artifacts of the old folder; it is brought
    up to date, so that nothing is read from or written into the original.

    Args:
        project: folder with mlflow.db and mlartifacts.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import mlflow

    own = (project / DATABASE).resolve()
    given = os.environ.get("MLFLOW_TRACKING_URI")
    address = given or f"{SQLITE}{own}"
    if address.startswith(SQLITE) and Path(address.removeprefix(SQLITE)).resolve() == own:
        adopt_artifacts(own, (project / ARTIFACTS).resolve().as_uri())
    mlflow.set_tracking_uri(address)
    if not given:
        # MLflow sets the variable, which would pass for the user's in another project
        os.environ.pop("MLFLOW_TRACKING_URI", None)
    return address


def adopt_artifacts(database: Path, home: str) -> None:
    """Replace the artifact root of another project folder by `home` wherever a store names it.

    Other locations, such as those of an object store, stay. MLflow has no call for this.

    Args:
        database: MLflow's sqlite file; may be missing.
        home: file URI of the project's artifact folder.
    """
    if not database.is_file():
        return
    with closing(sqlite3.connect(database, timeout=60)) as store, store:
        columns = [
            (table, column)
            for table, column in LOCATIONS
            if column in {row[1] for row in store.execute(f"PRAGMA table_info({table})")}
        ]
        if LOCATIONS[0] not in columns:
            return
        roots = [row[0] for row in store.execute("SELECT artifact_location FROM experiments")]
        for root in {root for root in roots if root and root != home}:
            if not (root.startswith("file:") and root.endswith(f"/{ARTIFACTS}")):
                continue
            for table, column in columns:
                store.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                    f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                    (home, len(root) + 1, root, len(root) + 1, f"{root}/"),
                )


def connect(experiment: str) -> tuple[MlflowClient, str]:
    """Return a client of the tracking store and the experiment's id; make either if missing."""
    address = open_store()
    import mlflow

    client = mlflow.MlflowClient()
    known = client.get_experiment_by_name(experiment)
    if known is None:
        root = ARTIFACTS.resolve().as_uri() if address.startswith("sqlite") else None
        identity = str(client.create_experiment(experiment, artifact_location=root))
    else:
        identity = str(known.experiment_id)
    mlflow.set_experiment(experiment)
    return client, identity


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested settings as MLflow's parameters: `section.name`."""
    parameters: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            parameters |= flat(value, f"{prefix}{name}.")
        else:
            parameters[f"{prefix}{name}"] = str(value)
    return parameters


def log_curves(client: MlflowClient, run: str, stage: str, table: Path) -> int:
    """Log every numeric column of curves.parquet as STAGE/NAME over its steps, in batches.

    Returns:
        The number of points; 0 where there is no table.
    """
    import math

    import pandas as pd
    from mlflow.entities import Metric

    if not table.is_file():
        return 0
    frame = read_dataframe(table)
    columns = [c for c in frame.columns if c != "step" and pd.api.types.is_numeric_dtype(frame[c])]
    points = [
        Metric(f"{stage}/{name}", float(value), 0, int(step))
        for name in columns
        for step, value in zip(frame["step"], frame[name], strict=True)
        if math.isfinite(value)
    ]
    for start in range(0, len(points), BATCH):
        client.log_batch(run, metrics=points[start : start + BATCH])
    return len(points)


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn a failure of MLflow's store into an error that names the store and its cause.

    Raises:
        OutputError: the store, or its place for artifacts, cannot be read or written.
    """
    import mlflow
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (mlflow.exceptions.MlflowException, SQLAlchemyError, sqlite3.Error) as error:
        raise OutputError(
            "the registry does not take the model",
            file=mlflow.get_tracking_uri(),
            value=str(error).partition("\n")[0][:300],
            fix="check the store and the space on its disk, then run it again",
        ) from error


def _this_process() -> str:
    """Return host, number and start of this process, by which it is told from all others."""
    import psutil

    process = psutil.Process()
    return f"{platform.node()} {process.pid} {process.create_time():.0f}"


def _has_ended(process: str) -> bool:
    """Return True for a process of this machine, see `_this_process`, that runs no more."""
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
    client.set_tag(run, PROCESS, _this_process())
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
    client: MlflowClient, run: str, parameters: Mapping[str, str], measures: Mapping[str, float]
) -> None:
    """Log parameters, but for those that the run has, and measures, in one batch each."""
    from mlflow.entities import Metric, Param

    known = client.get_run(run).data.params
    parameters = {key: value for key, value in parameters.items() if key not in known}
    client.log_batch(run, params=[Param(k, v[:5000]) for k, v in parameters.items()])
    client.log_batch(run, metrics=[Metric(k, v, 0, 0) for k, v in measures.items()])


def find_run(client: MlflowClient, experiment_id: str, fingerprint: str) -> Any | None:
    """Return the run of a training by its fingerprint; None if there is none."""
    runs = client.search_runs([experiment_id], f"tags.{FINGERPRINT} = '{fingerprint}'")
    return runs[0] if runs else None


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
        self.run = ""
        self.queue: list[Metric] = []
        self.flushed = time.monotonic()

    def begin(self, fingerprint: str) -> None:
        """Create the run, or open the one of a killed training."""

        def open_run() -> None:
            client, experiment = connect(self.settings.register_.experiment)
            run = find_run(client, experiment, fingerprint)
            if run is None:
                run = new_run(client, experiment, self.stage, fingerprint)
                every = self.settings.model_dump(mode="json", by_alias=True)
                used = {name: every[name] for name in ("profile", self.stage)}
                log_facts(client, run.info.run_id, flat(used), {})
            self.run = str(run.info.run_id)
            close_orphans(client, experiment)
            take_run(client, self.run)
            self.client = client

        self._try(open_run)

    def metrics(self, step: int, scalars: Mapping[str, float]) -> None:
        """Queue a step's scalars; they are sent every few seconds."""
        if self.client is None:
            return
        from mlflow.entities import Metric

        self.queue += [Metric(f"{self.stage}/{k}", v, 0, step) for k, v in scalars.items()]
        if time.monotonic() - self.flushed >= FLUSH_SECONDS or len(self.queue) >= BATCH:
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
        self.queue = []
        for row in history:
            self.metrics(int(row["step"]), {k: v for k, v in row.items() if k != "step"})
        self._flush()
        client = self.client
        if client is not None:
            self._try(lambda: client.set_terminated(self.run))

    def stop(self) -> None:
        """Mark the run as killed; the stage goes on in it when it is run again."""
        client = self.client
        if client is not None:
            self._try(lambda: client.set_terminated(self.run, "KILLED"))

    def _flush(self) -> None:
        client, points = self.client, self.queue
        self.queue, self.flushed = [], time.monotonic()
        if client is not None and points:
            self._try(lambda: client.log_batch(self.run, metrics=points))

    def _try(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:  # a store may raise anything; the training goes on
            self.client = None
            print(f"{self.stage}: no live view in MLflow: {error}", file=sys.stderr)


def new_run(client: MlflowClient, experiment_id: str, stage: str, fingerprint: str) -> Any:
    """Create the run of a training."""
    return client.create_run(experiment_id, run_name=stage, tags={FINGERPRINT: fingerprint})


def training_run(client: MlflowClient, experiment_id: str, stage: str, folder: Path) -> str | None:
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
    name = str((run or new_run(client, experiment_id, stage, fingerprint)).info.run_id)
    log_curves(client, name, stage, folder / CURVES_FILE)
    if (folder / SAMPLES).is_dir():
        client.log_artifacts(name, str(folder / SAMPLES), f"{SAMPLES}/{stage}")
    client.set_terminated(name)
    return name
