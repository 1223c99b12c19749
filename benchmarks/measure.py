"""Measurement of a row of the table: both sides in turns, the floor, and each side's own peak."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import torch

from tasks.shared.floor import work_done

Work = Callable[[], object]
Cycle = Sequence[tuple[float, Work]]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: of the line.
        ours, theirs: build a side; each gives works with the share of each in what is timed, 1 for
            a plain one. Kinds of a step that come round every so often are weighed like that.
        dtype: what our side multiplies in, which its floor goes by.
    """

    name: str
    ours: Callable[[], Cycle]
    theirs: Callable[[], Cycle] | None = None
    dtype: torch.dtype = torch.float32


@dataclass(frozen=True)
class Rates:
    """The device's rates, measured in this run: operations a second by dtype, bytes a second."""

    operations: dict[torch.dtype, float]
    bytes: float


@dataclass(frozen=True)
class Taken:
    """Seconds of a run by the wall and of all threads, medians, and its peak memory in MiB."""

    wall: float
    cpu: float
    peak: float | None = None


@dataclass(frozen=True)
class Measured:
    """A row's figures: what our side multiplies and moves, its floor, and what each side took."""

    name: str
    gflop: float
    mib: float
    floor: float
    ours: Taken
    theirs: Taken | None = field(default=None)


def alone(work: Work) -> Cycle:
    """A work by itself."""
    return [(1.0, work)]


def measure(
    row: Row, rates: Rates, repeats: int, seconds: float, peak: Callable[[str], float | None]
) -> Measured:
    """Measure a row.

    Args:
        row: see there.
        rates: of the device.
        repeats: most turns that count; one turn before them does not.
        seconds: no further turn is begun after so long.
        peak: MiB that a side, "ours" or "theirs", takes in a process of its own.
    """
    cycles = [row.ours(), *([row.theirs()] if row.theirs else [])]
    operations = moved = 0.0
    for share, work in cycles[0]:
        done = work_done(work)
        operations += share * done.operations
        moved += share * done.bytes
    times = _turns(cycles, repeats, seconds)
    found = []
    for side, taken in zip(("ours", "theirs"), times, strict=False):
        wall, cpu = (median(column) for column in zip(*taken, strict=True))
        found.append(Taken(wall, cpu, peak(side)))
    floor = max(operations / rates.operations[row.dtype], moved / rates.bytes)
    return Measured(row.name, operations / 1e9, moved / 2**20, floor, *found)


def _turns(cycles: Sequence[Cycle], repeats: int, limit: float) -> list[list[tuple[float, float]]]:
    """Wall and CPU seconds of each counted turn of each side, the sides in turns."""
    times: list[list[tuple[float, float]]] = [[] for _ in cycles]
    started = time.perf_counter()
    for turn in range(repeats + 1):
        if turn > 1 and time.perf_counter() - started > limit:
            break
        for side, cycle in enumerate(cycles):
            wall = cpu = 0.0
            for share, work in cycle:
                before = time.perf_counter(), time.process_time()
                work()
                wall += share * (time.perf_counter() - before[0])
                cpu += share * (time.process_time() - before[1])
            if turn:
                times[side].append((wall, cpu))
    return times


def own_peak(build: Callable[[], Cycle]) -> float:
    """Peak memory of this process in MiB for a side's first run, beyond what it took before."""
    before = _high_water()
    for _, work in build():
        work()
    return _high_water() - before


def _high_water() -> float:
    """The most memory that this process has held, in MiB.

    Linux hands a parent's peak down to its children in `ru_maxrss`, but not in /proc.
    """
    status = Path("/proc/self/status")
    if status.exists():
        found = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return float(found["VmHWM"].split()[0]) / 2**10
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
