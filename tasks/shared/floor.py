"""Lower bound of a computation's time: its operations and bytes, and the device's measured rates.

The bound is the number of floating-point operations over the device's matrix rate, or the number of
bytes over its bandwidth, both measured in the same process.
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
    """Measure the median time of `work` in seconds, after a warm-up run.

    Args:
        work: the function to time.
        device: synchronised before and after.
        repeats: number of timed runs.
        clock: wall time; `time.process_time` measures CPU-seconds of all threads, which depend less
            on other processes.
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
    """Measure floating-point operations per second in the product of two large matrices."""
    side = MATRIX[device.type]
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return 2 * side**3 / seconds(lambda: a @ b, device, clock=clock)


@torch.no_grad()
def bandwidth(device: torch.device, clock: Clock = time.perf_counter) -> float:
    """Measure bytes per second, read and written, of a copy larger than the caches."""
    source = torch.ones(COPIED_BYTES[device.type], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * len(source) / seconds(lambda: target.copy_(source), device, clock=clock)


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counter of operations and bytes, by torch's own formulas.

    Torch's own mode also tracks modules, which fails with gradients of gradients.
    """

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
    """Cost of matrix products and convolutions; all other operations are taken for free.

    Attributes:
        operations: floating-point operations.
        bytes: size of operands and results, each counted once.
    """

    operations: int
    bytes: int


def work_done(work: Callable[[], object]) -> WorkDone:
    """Count the matrix products and convolutions of one run of `work`.

    For grouped convolutions, torch counts the gradient of the weights as if there were no groups.
    """
    counter = _Counter()
    with counter:
        work()
    return WorkDone(counter.operations, counter.bytes)


def operations(work: Callable[[], object]) -> int:
    """Count the floating-point operations of one run of `work`; see `work_done`."""
    return work_done(work).operations
