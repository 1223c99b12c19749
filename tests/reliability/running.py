"""Real processes that are stopped: how soon they end, what they say, what they leave running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.conftest import ROOT

# Under the name of its script, by which the command obeys signals from its first line on.
COMMAND = (
    "import sys; sys.argv[0] = 'dualstylegan'; from dualstylegan.cli import main; sys.exit(main())"
)
MARK = "RELIABILITY_MARK"


@dataclass(frozen=True)
class Ended:
    """End of a process: its code, seconds until it and its descendants ended, and what it said."""

    code: int
    seconds: float
    errors: str
    left: int


class Run:
    """Process whose descendants are known by a mark in their environment."""

    def __init__(
        self,
        arguments: Sequence[str | Path],
        folder: Path,
        environment: dict[str, str] | None = None,
        root: Path = ROOT,
    ) -> None:
        self.mark = uuid.uuid4().hex
        self.errors = folder / f"{self.mark}.err"
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        base = {**os.environ, "PATH": path, "PYTHONPATH": str(root), "PWD": str(folder)}
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, *map(str, arguments)],
                cwd=folder,
                env={**base, **(environment or {}), MARK: self.mark},
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )

    def family(self) -> list[psutil.Process]:
        """Return the living processes with the mark."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                marked = process.environ().get(MARK) == self.mark
                if marked and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def wait_until(self, reached: Callable[[], object], seconds: float = 240) -> None:
        """Wait until something holds while the process runs."""
        end = time.monotonic() + seconds
        while not reached():
            assert self.process.poll() is None, self.errors.read_text()
            assert time.monotonic() < end, self.errors.read_text()
            time.sleep(0.02)

    def send(self, number: int, patience: float = 10, group: bool = False) -> Ended:
        """Send a signal and wait for the end of the process and of its descendants.

        Args:
            number: of the signal.
            patience: seconds to wait.
            group: send it to the process's whole group, as a terminal does on Ctrl-C.
        """
        start = time.monotonic()
        if group:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(patience)
        while self.family() and time.monotonic() - start < patience:
            time.sleep(0.05)
        seconds = time.monotonic() - start
        code = self.process.poll()
        return Ended(
            -1000 if code is None else code, seconds, self.errors.read_text(), len(self.family())
        )

    def kill(self) -> None:
        """Kill whatever has the mark."""
        for process in self.family():
            with suppress(psutil.Error):
                process.kill()
        self.process.wait()


@contextmanager
def running(
    arguments: Sequence[str | Path],
    folder: Path,
    environment: dict[str, str] | None = None,
    root: Path = ROOT,
) -> Iterator[Run]:
    """Start a process; kill it and all its descendants on exit."""
    run = Run(arguments, folder, environment, root)
    try:
        yield run
    finally:
        run.kill()


def shell_code(number: int) -> int:
    """Return the code by which shells report a signal."""
    return 128 + signal.Signals(number)
