"""MLflow's store: one sqlite file and local artifacts, or the server that the user names."""

from __future__ import annotations

import os
import socket
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from dualstylegan.errors import OutputError

if TYPE_CHECKING:
    from mlflow import MlflowClient

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
REACH_SECONDS = 5.0  # for a server to take a connection
# What MLflow's page shows of an experiment.
EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development",
    "mlflow.note.content": (
        "Runs of the pipeline. A run is one pass through DVC's graph, the stages are its children: "
        "curves, sample grids and use of the machine stand with the trainings, measures, tables, "
        "pictures and the report with the run itself."
    ),
}
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
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


def check_reachable(address: str) -> None:
    """Refuse a server that takes no connection, before MLflow tries for minutes.

    Raises:
        OutputError: names the server.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return
    if parts.scheme in getproxies() and not proxy_bypass(parts.hostname):
        return
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname, port), REACH_SECONDS).close()
    except OSError as error:
        raise OutputError(
            "MLflow's server cannot be reached",
            file=f"{parts.scheme}://{parts.hostname}:{port}",
            value=error.strerror or error,
            fix="start it, or set MLFLOW_TRACKING_URI to another store; unset, it is mlflow.db",
        ) from error


def connect(experiment: str, tags: Mapping[str, str] = EXPERIMENT_TAGS) -> tuple[MlflowClient, str]:
    """Return a client of the tracking store and the experiment's id; make either if missing.

    Args:
        experiment: its name.
        tags: of an experiment that is made, or that lacks them.

    Raises:
        OutputError: the server cannot be reached.
    """
    check_reachable(os.environ.get("MLFLOW_TRACKING_URI", ""))
    address = open_store()
    import mlflow

    client = mlflow.MlflowClient()
    known = client.get_experiment_by_name(experiment)
    if known is None:
        root = ARTIFACTS.resolve().as_uri() if address.startswith("sqlite") else None
        identity = str(client.create_experiment(experiment, artifact_location=root))
    else:
        identity = str(known.experiment_id)
    for name in tags.keys() - (known.tags if known is not None else {}).keys():
        client.set_experiment_tag(identity, name, tags[name])
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
