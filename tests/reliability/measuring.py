"""Actions in processes of their own: what became of them, their memory and time."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dualstylegan.errors import DualStyleGANError

MAX_SENTENCE = 1000


@dataclass(frozen=True)
class Measured:
    """End of an action in a process of its own: what it said, bytes at its peak, CPU-seconds.

    The peak is that beyond the process that was forked, or that of a process which it started.
    """

    said: str
    peak: int
    seconds: float


def measured(act: Callable[[], object], report: Path) -> Measured:
    """Run an action in a child process, and measure it and the processes that it starts."""
    report.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        before = _peak(resource.RUSAGE_SELF)
        said = outcome(act)
        own = _peak(resource.RUSAGE_SELF) - before
        report.write_text(json.dumps([said, max(own, _peak(resource.RUSAGE_CHILDREN))]))
        os._exit(0)
    _, status, used = os.wait4(child, 0)
    seconds = used.ru_utime + used.ru_stime
    if not report.is_file():
        return Measured(f"crash: {status}", 0, seconds)
    said, peak = json.loads(report.read_text())
    return Measured(said, peak << 10, seconds)


def _peak(who: int) -> int:
    return resource.getrusage(who).ru_maxrss


def outcome(act: Callable[[], object]) -> str:
    """Return what became of an action: done, refused, or the fault."""
    try:
        act()
    except DualStyleGANError as error:
        fault = fault_of(str(error))
        return "refused" if fault is None else fault
    except BaseException as error:
        return f"untyped: {error!r:.300}"
    return "done"


def fault_of(sentence: str) -> str | None:
    """Return what is wrong with the sentence of a refusal; None if nothing is."""
    inside = ".py" in sentence or "Traceback" in sentence or "with code" in sentence
    if "\n" in sentence or len(sentence) > MAX_SENTENCE or inside:
        return f"no sentence: {sentence[:300]!r}"
    try:
        sentence.encode()
    except UnicodeEncodeError:
        return f"cannot be written: {sentence[:300]!r}"
    return None
