"""Work on several threads whose results come in the order of the requests, a few at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Generic, TypeVar

import torch

Result = TypeVar("Result")
# Requests in flight per thread: none waits, and memory stays bounded.
PER_THREAD = 2


class OrderedWork(Generic[Result]):
    """Queue of functions that run on threads.

    Args:
        pool: the threads.
        limit: greatest number of results that are waited for.
    """

    def __init__(self, pool: ThreadPoolExecutor, limit: int) -> None:
        self._pool, self._limit = pool, limit
        self._pending: deque[Future[Result]] = deque()

    def submit(self, function: Callable[[], Result]) -> Iterator[Result]:
        """Submit a function; yield the results that are due before it."""
        self._pending.append(self._pool.submit(function))
        while len(self._pending) > self._limit:
            yield self._pending.popleft().result()

    def drain(self) -> Iterator[Result]:
        """Yield the results that are left."""
        while self._pending:
            yield self._pending.popleft().result()


@contextmanager
def ordered_work(device: torch.device) -> Iterator[OrderedWork[Result]]:
    """Yield a queue on as many threads as torch has; one for a GPU.

    A frame on each core is quicker than each frame on all cores: small layers do not share well.
    On the way out, what has not begun is dropped.
    """
    threads = torch.get_num_threads()
    count = threads if device.type == "cpu" else 1
    pool = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield OrderedWork(pool, PER_THREAD * count)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)
