"""Processes that the flows' tasks wait for: heard line by line, and ended with the flow."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from prefect import get_run_logger

from dualstylegan.io.processes import guarded

Log = logging.Logger | logging.LoggerAdapter[Any]
TAIL = 15  # lines of a failed process in its error
# Of a stage that refuses its input; DVC names the code in its last lines and ends with another.
REFUSED = 2
CODE = re.compile(r"exited with (\d+)")


class StageFailed(RuntimeError):
    """Failure of a stage; the message ends with its last lines.

    Attributes:
        code: exit code of the stage itself.
    """

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


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


def run_module(
    module: str,
    arguments: Sequence[str],
    folder: Path,
    hear: Callable[[str], object] = lambda line: None,
    log: Log | None = None,
) -> str:
    """Run a module, log every line of its output, and return the output.

    Args:
        module: for `python -m`.
        arguments: of its command line.
        folder: to run it in.
        hear: called with each line.
        log: of its lines; None: that of the run of Prefect.

    Raises:
        StageFailed: its exit code is not 0.
    """
    log = get_run_logger() if log is None else log
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
                    hear(lines[-1])
        except BaseException:
            end_group(process)
            raise
        finally:
            Children.running.discard(process)
    if process.returncode:
        tail = "\n".join(lines[-TAIL:])
        found = CODE.findall(tail)
        code = int(found[-1]) if found else process.returncode
        raise StageFailed(f"{module} {' '.join(arguments)}: code {code}\n{tail}", code)
    return "\n".join(lines)
