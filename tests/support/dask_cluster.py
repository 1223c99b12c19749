"""Dask cluster on loopback: a real scheduler and real workers, in the working folder."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from dualstylegan.errors import DataError
from dualstylegan.io.files import read_json
from tests.conftest import ROOT

SECONDS = 60
FILE = Path("scheduler.json")


def until(true: Callable[[], object]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


class Cluster:
    """Scheduler and workers as users start them, in the working folder."""

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        self.start("scheduler", "--host", "127.0.0.1", "--port", "0")
        self.address = ""

    def answer(self) -> None:
        """Wait for the scheduler's file, which it writes in parts."""

        def read() -> bool:
            with suppress(DataError):
                self.address = str(read_json(FILE)["address"])
            return bool(self.address)

        until(read)

    def start(self, kind: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a process; a worker takes one task at a time and is its own nanny."""
        told = ("--no-dashboard", "--scheduler-file", str(FILE), *arguments)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self.processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "dask", kind, *told],
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        return self.processes[-1]

    def worker(self) -> subprocess.Popen[bytes]:
        return self.start("worker", "--nthreads", "1", "--no-nanny")

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
