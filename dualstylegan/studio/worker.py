"""Worker: one thread that computes for all visitors, the most urgent work first.

A model computes on all cores, so that two computations at a time would make each other wait. Long
work gives way between its steps: it calls `Worker.relieve`, which does what is more urgent.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeVar

from dualstylegan.errors import BusyError, ClosingError, SupersededError

T = TypeVar("T")
MAX_WAITING = 64
STOP_SECONDS = 5.0
LINGER_SECONDS = 0.2
# Work that has waited so long goes first, so that cameras, which always ask, do not hold all.
PATIENCE_SECONDS = 2.0


class Urgency(IntEnum):
    """Order of work: the lower goes first."""

    PICTURE = 0
    # photos, and frames of live cameras
    READING = 1
    FITTING = 2
    LEARNING = 3


class StoppedError(Exception):
    """Nobody waits for the work any more; raised to leave it between its steps."""


@dataclass(frozen=True)
class _Job:
    work: Callable[[], Any]
    urgency: Urgency
    number: int
    view: Hashable
    future: Future[Any]
    since: float


class Worker:
    """Thread that runs submitted work one at a time, by urgency and then in order."""

    def __init__(self) -> None:
        self._waiting: list[_Job] = []
        self._changed = threading.Condition()
        self._submitted = 0
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="studio", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], T], urgency: Urgency, view: Hashable = None) -> Future[T]:
        """Queue work and return its future result.

        Args:
            work: runs in the thread.
            urgency: of the work.
            view: what the result is shown in; work for the same view that still waits is dropped,
                its future raises SupersededError. None: shares its view with no other.

        Raises:
            BusyError: too much is waiting.
            ClosingError: the worker is to stop.
        """
        future: Future[T] = Future()
        with self._changed:
            if self._stopped:
                raise ClosingError()
            if view is not None:
                for stale in [job for job in self._waiting if job.view == view]:
                    self._waiting.remove(stale)
                    stale.future.set_exception(
                        SupersededError(
                            "a newer request of the same view took its place",
                            fix="wait for the newer one",
                        )
                    )
            if len(self._waiting) >= MAX_WAITING:
                raise BusyError(
                    "too much work is waiting", limit=MAX_WAITING, fix="try again in a minute"
                )
            self._submitted += 1
            job = _Job(work, urgency, self._submitted, view, future, time.monotonic())
            self._waiting.append(job)
            self._changed.notify()
        return future

    def relieve(self, urgency: Urgency) -> None:
        """Run the waiting work that is more urgent; called within work of the given urgency.

        A dial that moves asks for its next picture when it has the last one: having served one,
        it waits a moment for the next, in place of a long step in between. Other work that comes
        meanwhile, such as the next frame of a camera, waits until the step is done.

        Raises:
            StoppedError: the worker is to stop.
        """
        last = self._submitted
        job = self._next(urgency, last)
        while job is not None:
            seconds = LINGER_SECONDS if job.urgency == Urgency.PICTURE else 0.0
            _run(job)
            job = None  # a photo, which it may hold, is let go before the next is waited for
            job = self._next(urgency, last, seconds)
        if self._stopped:
            raise StoppedError

    def close(self) -> None:
        """Refuse new work and what waits, and leave long work at its next step."""
        with self._changed:
            self._stopped = True
            for job in self._waiting:
                if job.future.set_running_or_notify_cancel():
                    job.future.set_exception(ClosingError())
            self._waiting.clear()
            self._changed.notify()

    def stop(self) -> None:
        """Close, and wait for the thread a while."""
        self.close()
        self._thread.join(STOP_SECONDS)

    def _next(self, below: int, last: int, seconds: float = 0.0) -> _Job | None:
        """Take the most urgent work from the queue, after some seconds at most; None: none.

        Args:
            below: bound of the urgency.
            last: number of the last job that counts; pictures always do.
            seconds: to wait for it.
        """

        def waiting() -> list[_Job]:
            return [
                job
                for job in self._waiting
                if job.urgency < below and (job.number <= last or job.urgency == Urgency.PICTURE)
            ]

        with self._changed:
            self._changed.wait_for(lambda: self._stopped or waiting(), seconds)
            urgent = waiting()
            if not urgent:
                return None
            job = min(urgent, key=lambda one: (one.urgency, one.number))
            self._waiting.remove(job)
            return job

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or self._waiting)
                if self._stopped:
                    return
                line = time.monotonic() - PATIENCE_SECONDS
                job = min(
                    self._waiting, key=lambda one: (one.since > line, one.urgency, one.number)
                )
                self._waiting.remove(job)
            _run(job)
            del job  # a photo, which it may hold, is let go while nothing is to be done


def _run(job: _Job) -> None:
    """Run a job unless nobody waits for it any more."""
    if not job.future.set_running_or_notify_cancel():
        return
    try:
        result = job.work()
    except BaseException as error:  # belongs to whoever waits for the result
        job.future.set_exception(error)
        del job  # else the error's frames and the future keep one another, and the photo with them
    else:
        job.future.set_result(result)
