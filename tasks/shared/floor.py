"""The device's floor: how fast it multiplies and copies, measured, and how much work something is.

A time is put in proportion by its floor: the floating-point operations over the device's matrix
rate, or the bytes over its bandwidth, both measured in the same process.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

Clock = Callable[[], float]

MATRIX = {"cpu": 2048, "cuda": 8192}
COPIED_BYTES = {"cpu": 2**28, "cuda": 2**31}
REPEATS = 5


def seconds(
    work: Callable[[], object],
    device: torch.device,
    repeats: int = REPEATS,
    clock: Clock = time.perf_counter,
) -> float:
    """Median time of `work` in seconds, after a first run that does not count.

    Args:
        work: what is timed.
        device: waited for before and after.
        repeats: runs that count.
        clock: the wall's; `time.process_time` gives CPU-seconds of all threads, which on a CPU do
            not depend on who else keeps the machine busy.
    """
    times = []
    for _ in range(repeats + 1):
        _wait(device)
        start = clock()
        work()
        _wait(device)
        times.append(clock() - start)
    return median(times[1:])


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@torch.no_grad()
def matrix_rate(
    device: torch.device, dtype: torch.dtype, clock: Clock = time.perf_counter
) -> float:
    """Floating-point operations a second in the product of two large square matrices."""
    side = MATRIX[device.type]
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return 2 * side**3 / seconds(lambda: a @ b, device, clock=clock)


@torch.no_grad()
def bandwidth(device: torch.device, clock: Clock = time.perf_counter) -> float:
    """Bytes a second read and written by a copy larger than the caches."""
    source = torch.ones(COPIED_BYTES[device.type], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * len(source) / seconds(lambda: target.copy_(source), device, clock=clock)


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up what torch says of each operation; unlike torch's own mode it keeps no module tree,
    which gradients of gradients do not go with."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations = 0
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        count = flop_registry.get(func.overloadpacket)
        if count is not None:
            self.operations += int(count(*args, **(kwargs or {}), out_val=result))
            tensors = [x for x in (*args, *tree_leaves(result)) if isinstance(x, torch.Tensor)]
            self.bytes += sum(x.numel() * x.element_size() for x in tensors)
        return result


@dataclass(frozen=True)
class WorkDone:
    """Matrix products and convolutions of some work: their operations, and the bytes of their
    operands and results, each once, as if all else were part of them."""

    operations: int
    bytes: int


def work_done(work: Callable[[], object]) -> WorkDone:
    """Count the matrix products and convolutions in `work`, done once.

    Of convolutions in groups torch counts the gradient by the weights as if there were none.
    """
    counter = _Counter()
    with counter:
        work()
    return WorkDone(counter.operations, counter.bytes)


def operations(work: Callable[[], object]) -> int:
    """Floating-point operations of the matrix products and convolutions in `work`, done once."""
    return work_done(work).operations
