"""Fits of several portraits at once: a thread of torch for each, in place of several for one.

A fit of one small picture leaves the other cores idle between its short operations. Each fit runs
on one thread, so that its bits do not depend on the number of cores.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from threading import Event, Lock
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")
Tick = Callable[[int], None]

# Each fit holds the graph of its networks, some half a gigabyte.
MAX_FITS = 4


class _Stopped(Exception):
    """End of a fit whose stage has ended."""


def fits_at_once(device: torch.device) -> int:
    """Return the number of fits that run at once: on a GPU one, else one per core up to four.

    Where OMP_NUM_THREADS or `runtime.threads` leaves torch fewer threads, as many as these.
    """
    cores = min(os.cpu_count() or 1, torch.get_num_threads())
    return min(MAX_FITS, cores) if device.type == "cpu" else 1


def at_once(
    work: Callable[[Item, Tick], Result],
    items: Sequence[Item],
    progress: Tick,
    together: int,
) -> Iterator[tuple[Item, Result]]:
    """Yield each item with its result, in the order in which they are done.

    An error or a stop ends the other fits after their step.

    Args:
        work: from an item, and a function to call with its steps done, to its result.
        items: of the fits.
        progress: called with the steps done by all.
        together: fits that run at once; 1 runs them in the caller's thread, on all of its threads.
    """
    done = [0] * len(items)
    lock, stopped = Lock(), Event()

    def run(number: int) -> Result:
        def tick(steps: int) -> None:
            if stopped.is_set():
                raise _Stopped
            with lock:
                done[number] = steps
                progress(sum(done))

        return work(items[number], tick)

    if together == 1:
        for number, item in enumerate(items):
            yield item, run(number)
        return
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(together, initializer=torch.set_num_threads, initargs=(1,))
    try:
        futures = {pool.submit(run, number): items[number] for number in range(len(items))}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        stopped.set()
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)
