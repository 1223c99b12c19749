"""Requests to the command, each in a process of its own that is forked from one.

The imports that all of them need are made once; their CPU time counts for each.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PROGRAM = """
import json, os, resource, sys
sys.argv = ["dualstylegan"]
from dualstylegan.cli import main

def answer(number, arguments):
    for stream, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{sys.argv[1]}/{number}.{name}", os.O_WRONLY | os.O_CREAT), stream)
    sys.argv[1:] = arguments
    try:
        main()
    except SystemExit as ended:
        return ended.code or 0
    finally:
        print("torch" in sys.modules)
        sys.stdout.flush()
        sys.stderr.flush()

folder, requests = json.load(sys.stdin)
sys.argv[1:] = [folder]
own, told = resource.getrusage(resource.RUSAGE_SELF), []
for number, arguments in enumerate(requests):
    child = os.fork()
    if not child:
        status = 1
        try:
            status = answer(number, arguments)
        finally:
            os._exit(status)
    _, status, used = os.wait4(child, 0)
    seconds = sum(one.ru_utime + one.ru_stime for one in (own, used))
    told.append((os.waitstatus_to_exitcode(status), seconds))
print(json.dumps(told))
"""


@dataclass(frozen=True)
class Answered:
    """End of a request.

    Attributes:
        status: exit status.
        stderr: what was told.
        torch: torch was imported.
        seconds: of CPU time, with the start of the process.
    """

    status: int
    stderr: str
    torch: bool
    seconds: float


def arguments_of(command: str, given: Mapping[str, str]) -> list[str]:
    """Return arguments of a command: the first value by itself, the others after their names."""
    first, *_ = given
    named = (word for name in given if name != first for word in (name, given[name]))
    return [command, given[first], *named]


def answered(requests: Sequence[Sequence[str]], folder: Path, outputs: Path) -> list[Answered]:
    """Run requests one after the other.

    Args:
        requests: arguments of the command.
        folder: where it runs.
        outputs: folder for what is printed.
    """
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=folder,
        input=json.dumps([str(outputs), requests]),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = []
    for number, (status, seconds) in enumerate(json.loads(done.stdout)):
        printed, told = ((outputs / f"{number}.{name}").read_text() for name in ("out", "err"))
        assert printed in ("True\n", "False\n"), printed
        found.append(Answered(status, told, printed == "True\n", seconds))
    return found
