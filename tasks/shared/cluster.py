"""Dask cluster as an executor: tasks by name, their results' digests, and what can be lost.

The scheduler sees the name of a function, the digest of its description, and per task the names and
keys of its pictures. All else lies in the folder `data`, which this process and the workers share.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any

from dualstylegan.errors import ClusterError, SettingsError
from tasks.shared.at_once import Tick
from tasks.shared.caching import cache_key
from tasks.shared.mapping import Origin, Spread
from tasks.shared.remote import publish, run

CONNECT_SECONDS = 10.0
# Without a worker for so long, the work ends.
WORKERS_SECONDS = 60.0
POLL_SECONDS = 1.0
CLOSE_SECONDS = 2.0
# Tasks that the scheduler knows at a time: it holds some kilobytes for each.
IN_FLIGHT = 4096


@contextmanager
def connected(address: str) -> Iterator[Spread]:
    """Connect to a scheduler; in the end, its workers begin nothing more of this process's work.

    Raises:
        ClusterError: no scheduler answers.
        SettingsError: `distributed` is not installed.
    """
    try:
        import distributed
    except ImportError as error:
        raise SettingsError(
            "runtime.executor needs the package distributed",
            value=address,
            fix="pip install -e '.[dask]', or set it to threads",
        ) from error
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # an error says it in one line
    try:
        client: Any = distributed.Client(  # type: ignore[no-untyped-call]
            address, timeout=CONNECT_SECONDS, set_as_default=False
        )
    except (OSError, ValueError) as error:
        raise ClusterError(
            "no Dask scheduler answers",
            value=address,
            limit=f"an answer in {CONNECT_SECONDS:.0f} s",
            fix="start `dask scheduler` there, or set runtime.executor to threads",
        ) from error

    def spread(
        work: Callable[[Any, Tick], Any],
        origin: Origin,
        items: Sequence[Any],
        progress: Tick,
        steps: int,
        together: int,
    ) -> Iterator[tuple[Any, Any]]:
        for done, pair in enumerate(_results(client, address, origin, items)):
            yield pair
            progress((done + 1) * steps)

    try:
        yield spread
    finally:
        with suppress(Exception):
            client.close(timeout=CLOSE_SECONDS)


def _results(
    client: Any, address: str, origin: Origin, items: Sequence[Any]
) -> Iterator[tuple[Any, Any]]:
    """Yield each item with its result, in the order in which they are done."""
    digest = publish(origin)
    waiting, running = iter(items), dict[str, tuple[Any, Any]]()
    ended: SimpleQueue[str] = SimpleQueue()

    def begin(count: int) -> None:
        for item in islice(waiting, count):
            # equal tasks have equal keys: two processes that ask for one picture get it once
            key = f"{origin.opener}-{cache_key(digest, item)[:32]}"
            future = client.submit(run, digest, item, key=key, pure=True)
            running[key] = item, future
            future.add_done_callback(lambda future: ended.put(future.key))

    begin(IN_FLIGHT)
    seen = time.monotonic()
    while running:
        try:
            key = ended.get(timeout=POLL_SECONDS)
        except Empty:
            seen = _check_workers(client, address, seen)
            continue
        item, future = running.pop(key)
        result = None
        while result is None:
            result = _result(future, address)
            seen = _check_workers(client, address, seen) if result is None else time.monotonic()
        begin(1)
        yield item, result


def _result(future: Any, address: str) -> Any:
    """Return the result of a task that has ended; errors that a person can act on stay theirs.

    None: its worker was lost with it, and none has come so far that makes it again.
    """
    from distributed import KilledWorker
    from distributed.client import FutureCancelledError

    try:
        return future.result(timeout=POLL_SECONDS)
    except TimeoutError:
        if future.status == "error":  # the task's own
            raise
        return None
    except FutureCancelledError as error:
        raise _lost(address) from error
    except KilledWorker as error:
        raise ClusterError(
            "a task has ended every worker that took it",
            value=f"the last one at {error.last_worker.address}",
            limit=f"{error.allowed_failures} times",
            fix="look at that worker's log, and give workers more memory",
        ) from error
    except ModuleNotFoundError as error:
        raise ClusterError(
            "a worker cannot import the project",
            value=error,
            fix="start workers in the project's folder and environment",
        ) from error


def _check_workers(client: Any, address: str, seen: float) -> float:
    """Return the time at which there was a worker, now or before.

    Args:
        client: of the scheduler.
        address: of the scheduler.
        seen: when there was one, or when the work began.

    Raises:
        ClusterError: the scheduler is lost, or there has been no worker for WORKERS_SECONDS.
    """
    try:
        if client.status == "running" and client.nthreads():
            return time.monotonic()
    except Exception as error:  # whatever the broken connection raises
        raise _lost(address) from error
    if client.status != "running":
        raise _lost(address)
    if time.monotonic() - seen > WORKERS_SECONDS:
        raise ClusterError(
            "the Dask cluster has no workers",
            value=address,
            limit=f"one in {WORKERS_SECONDS:.0f} s",
            fix=f"start `dask worker {address} --nthreads 1` in the project's folder",
        )
    return seen


def _lost(address: str) -> ClusterError:
    return ClusterError(
        "the connection to the Dask scheduler is lost",
        value=address,
        fix="start it again, then run this again: pictures that are done are kept",
    )
