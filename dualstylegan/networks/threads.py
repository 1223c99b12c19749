"""Threads: work on several whose results come in the order of the requests, and work on one.

Passes over a few small images share several threads badly: what is computed by itself gets a thread
of its own, on which torch uses no other. Its bits then do not depend on the number of cores.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Generic, Self, TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")
Other = TypeVar("Other")
# Requests in flight per thread: none waits, and memory stays bounded.
PER_THREAD = 2
# Each may hold the maps of a batch.
MAX_THREADS = 4


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread, where the calling thread computes.

    A pass over one small image gains little by several, and costs five times the CPU time on a
    machine that is busy: threads that are done spin until the last one is.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class OrderedWork(Generic[Result]):
    """Queue of functions that run on as many threads as torch has; on one for a GPU.

    A frame on each core is quicker than each frame on all cores: small layers do not share well.
    Use it in a `with` block, at whose end what has not begun is dropped. Functions record
    gradients if the thread that submits them does.

    Args:
        device: of the networks that the functions use.
        most: threads at most; None for as many as torch has.
    """

    def __init__(self, device: torch.device, most: int | None = None) -> None:
        self._threads = torch.get_num_threads()
        count = self._threads if device.type == "cpu" else 1
        count = count if most is None else min(count, most)
        self._pool = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))
        self._limit = PER_THREAD * count
        self._pending: deque[Future[Result]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        torch.set_num_threads(self._threads)

    def submit(self, function: Callable[[], Result]) -> Iterator[Result]:
        """Submit a function; yield the results that are due before it."""
        recording = torch.is_grad_enabled()

        def run() -> Result:
            with torch.set_grad_enabled(recording):
                return function()

        self._pending.append(self._pool.submit(run))
        while len(self._pending) > self._limit:
            yield self._pending.popleft().result()

    def drain(self) -> Iterator[Result]:
        """Yield the results that are left."""
        while self._pending:
            yield self._pending.popleft().result()


def mapped(
    work: Callable[[Item], Result], items: Iterable[Item], device: torch.device
) -> Iterator[Result]:
    """Yield the result of each item in turn, several computed at once, each on one thread.

    Args:
        work: from an item to its result; it may not change what another one reads.
        items: taken as they are needed.
        device: of the networks that `work` uses; on a GPU one thread computes.
    """
    with OrderedWork[Result](device, MAX_THREADS) as queue:
        for item in items:
            yield from queue.submit(partial(work, item))
        yield from queue.drain()


def beside(
    first: Callable[[], Result], second: Callable[[], Other], device: torch.device
) -> tuple[Result, Other]:
    """Return the results of two functions computed at once, each on half of torch's threads.

    On a GPU, or where torch has one thread, they are computed in turn.

    Args:
        first, second: neither may change what the other one reads, or draw from its generator.
        device: of the networks that they use.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1:
        return first(), second()
    half, recording = threads // 2, torch.is_grad_enabled()

    def run() -> Other:
        with torch.set_grad_enabled(recording):
            return second()

    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(half,)) as pool:
        torch.set_num_threads(half)
        try:
            other = pool.submit(run)
            return first(), other.result()
        finally:
            torch.set_num_threads(threads)
