"""Supervision of the flow: a process that ends it with all that it has started.

A flow starts a temporary server, DVC, and stages, in sessions of their own. The supervisor is what
a person starts and stops: it adopts whatever loses its parent, and ends it all.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

import psutil

from dualstylegan.io.processes import adopt_orphans, guarded
from dualstylegan.io.stopping import GRACE_SECONDS

# Of the grace: the time in which everything may end by itself.
ORDERLY_SECONDS = GRACE_SECONDS - 1.5
KILLED = 137  # 128 + SIGKILL, as shells have it


def descendants() -> list[psutil.Process]:
    """Return the processes below this one that have not ended."""
    found = psutil.Process().children(recursive=True)
    living = []
    for process in found:
        with suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE:
                living.append(process)
    return living


def kill_descendants() -> None:
    """Kill whatever this process has started, directly or not."""
    for process in descendants():
        with suppress(psutil.Error):
            process.kill()


def run_supervised(module: str, arguments: Sequence[str]) -> int:
    """Run a module in a process of its own and return its exit code.

    The end of this process ends the module's process and all its descendants: by SIGTERM, and those
    that have not ended after ORDERLY_SECONDS by SIGKILL.
    """
    adopt_orphans()
    command = guarded([sys.executable, "-m", module, *arguments])
    # a session of its own: Ctrl-C reaches the supervisor alone, which ends the rest in order
    process = subprocess.Popen(command, start_new_session=True)
    try:
        code = process.wait()
    except BaseException:
        process.terminate()
        _wait_for_all(process)
        raise
    finally:
        kill_descendants()
    return KILLED if code < 0 else code


def _wait_for_all(process: subprocess.Popen[bytes]) -> None:
    """Wait until all descendants have ended, or for as long as they may take."""
    end = time.monotonic() + ORDERLY_SECONDS
    while time.monotonic() < end and (process.poll() is None or descendants()):
        time.sleep(0.05)
