"""Threads: work on several whose results come in the order of the requests, and work on one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Generic, Self, TypeVar

import torch

Result = TypeVar("Result")
# Requests in flight per thread: none waits, and memory stays bounded.
PER_THREAD = 2


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
    Use it in a `with` block, at whose end what has not begun is dropped.

    Args:
        device: of the networks that the functions use.
    """

    def __init__(self, device: torch.device) -> None:
        self._threads = torch.get_num_threads()
        count = self._threads if device.type == "cpu" else 1
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
        self._pending.append(self._pool.submit(function))
        while len(self._pending) > self._limit:
            yield self._pending.popleft().result()

    def drain(self) -> Iterator[Result]:
        """Yield the results that are left."""
        while self._pending:
            yield self._pending.popleft().result()
