"""Both servers as people start them: `dualstylegan serve` and `mlflow models serve`."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import mlflow
import psutil

from tasks.serving.signature import example, signature
from tasks.serving.versions import SERVING
from tests.conftest import ROOT
from tests.reliability.running import COMMAND, Run, running
from tests.support.portrait_models import tiny_model, with_sampler
from tests.support.studios import seeing_model

START_SECONDS = 180.0
PX = 64
STUDIO, MLFLOW = "studio", "mlflow"
# As docs/serving.md starts it.
GRACE = {"UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN": "2"}


Opening = Callable[[Path, Path, Path], AbstractContextManager["Door"]]


@dataclass(frozen=True)
class Door:
    """Server that listens on a port of loopback."""

    name: str
    port: int
    run: Run

    def memory(self) -> float:
        """Return the resident memory of the server's processes in MiB."""
        total = 0
        for process in self.run.family():
            with suppress(psutil.Error):
                total += process.memory_info().rss
        return total / 2**20


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


def answers(port: int, path: str) -> bool:
    """Return True once a server answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        time.sleep(0.1)
        return False
    finally:
        connection.close()


@contextmanager
def studio_door(folder: Path, weights: Path, root: Path) -> Iterator[Door]:
    """Run `dualstylegan serve` with a tiny model that finds faces."""
    if not (folder / "seeing").is_dir():
        seeing_model(weights).save_pretrained(folder / "seeing")
    port = free_port()
    arguments = ["-c", COMMAND, "serve", "-m", "seeing", "--port", str(port)]
    environment = {"DUALSTYLEGAN_WEIGHTS": str(weights)}
    with running(arguments, folder, environment, root) as run:
        run.wait_until(lambda: answers(port, "/api/styles"), START_SECONDS)
        yield Door(STUDIO, port, run)


@contextmanager
def mlflow_door(folder: Path, weights: Path, root: Path) -> Iterator[Door]:
    """Run `mlflow models serve` with a tiny model, logged as the stage `register` logs it."""
    if not (folder / "served").is_dir():
        with_sampler(tiny_model(resolution=PX)).save_pretrained(folder / "portrait")
        mlflow.pyfunc.save_model(
            folder / "served",
            python_model=str(root / SERVING.relative_to(ROOT)),
            artifacts={"portrait": str(folder / "portrait")},
            signature=signature(),
            input_example=example(folder / "portrait"),
            pip_requirements=["torch"],
        )
    port = free_port()
    arguments = ["-m", "mlflow", "models", "serve", "-m", "served", "--env-manager", "local"]
    arguments += ["-h", "127.0.0.1", "-p", str(port), "--timeout", "600"]
    environment = {"DUALSTYLEGAN_WEIGHTS": str(weights), **GRACE}
    with running(arguments, folder, environment, root) as run:
        run.wait_until(lambda: answers(port, "/ping"), START_SECONDS)
        yield Door(MLFLOW, port, run)
