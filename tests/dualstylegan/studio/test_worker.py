"""Worker and shelves of the studio: order of work, stale work, limits and expiry."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from dualstylegan.errors import BusyError, ClosingError, SupersededError, UnknownItemError
from dualstylegan.portrait.reading import CutPhoto
from dualstylegan.portrait.sitter import FaceFit, Sitter, SitterFace
from dualstylegan.studio import visits, worker
from dualstylegan.studio.visits import IDLE_SECONDS, MAX_ITEMS, Shelf, Sitting
from dualstylegan.studio.worker import StoppedError, Urgency, Worker

SECONDS = 10.0


@pytest.fixture
def busy() -> Iterator[tuple[Worker, threading.Event]]:
    """Worker whose thread waits until the event is set."""
    working, started, release = Worker(), threading.Event(), threading.Event()

    def hold() -> None:
        started.set()
        release.wait(SECONDS)

    working.submit(hold, Urgency.PICTURE)
    assert started.wait(SECONDS)
    yield working, release
    release.set()
    working.stop()


def test_urgent_work_goes_first_and_equals_in_their_order(
    busy: tuple[Worker, threading.Event],
) -> None:
    working, release = busy
    done: list[str] = []
    order = [("fit", 2), ("read", 1), ("picture", 0), ("another fit", 2), ("another picture", 0)]
    futures = [
        working.submit(lambda name=name: done.append(name), Urgency(urgency))  # type: ignore[misc]
        for name, urgency in order
    ]
    release.set()
    for future in futures:
        future.result(SECONDS)
    assert done == ["picture", "another picture", "read", "fit", "another fit"]


def test_long_work_lets_urgent_work_in_between_its_steps() -> None:
    working, started, queued = Worker(), threading.Event(), threading.Event()
    done: list[str] = []

    def fit() -> None:
        started.set()
        assert queued.wait(SECONDS)
        working.relieve(Urgency.FITTING)
        done.append("fit")

    fitted = working.submit(fit, Urgency.FITTING)
    assert started.wait(SECONDS)
    other = working.submit(lambda: done.append("other fit"), Urgency.FITTING)
    working.submit(lambda: done.append("picture"), Urgency.PICTURE)
    queued.set()
    fitted.result(SECONDS)
    other.result(SECONDS)
    working.stop()
    assert done == ["picture", "fit", "other fit"]


def test_cameras_that_always_ask_let_long_work_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "PATIENCE_SECONDS", 0.2)
    working, frames = Worker(), 0
    over = threading.Event()

    def frame() -> None:
        nonlocal frames
        frames += 1
        if not over.wait(0.01):
            working.submit(frame, Urgency.READING)

    def fit() -> int:
        for _ in range(3):
            working.relieve(Urgency.FITTING)
        return frames

    for _ in range(2):
        working.submit(frame, Urgency.READING)
    before = working.submit(fit, Urgency.FITTING).result(SECONDS)
    over.set()
    working.stop()
    assert before > 3


def test_the_newest_request_of_a_view_drops_the_ones_that_wait(
    busy: tuple[Worker, threading.Event],
) -> None:
    working, release = busy
    stale = [working.submit(lambda: "stale", Urgency.PICTURE, "a view") for _ in range(3)]
    other = working.submit(lambda: "other", Urgency.PICTURE, "another view")
    newest = working.submit(lambda: "newest", Urgency.PICTURE, "a view")
    release.set()
    assert newest.result(SECONDS) == "newest"
    assert other.result(SECONDS) == "other"
    for future in stale[:2]:
        with pytest.raises(SupersededError):
            future.result(SECONDS)


def test_too_much_waiting_work_is_refused(
    busy: tuple[Worker, threading.Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "MAX_WAITING", 2)
    working, _ = busy
    for _ in range(2):
        working.submit(lambda: None, Urgency.PICTURE)
    with pytest.raises(BusyError, match="fix: try again"):
        working.submit(lambda: None, Urgency.PICTURE)


def test_a_fault_in_one_work_leaves_the_next_alone() -> None:
    working = Worker()
    broken = working.submit(lambda: 1 // 0, Urgency.PICTURE)
    whole = working.submit(lambda: 1, Urgency.PICTURE)
    with pytest.raises(ZeroDivisionError):
        broken.result(SECONDS)
    assert whole.result(SECONDS) == 1
    working.stop()


def test_a_stopped_worker_leaves_long_work_at_its_next_step() -> None:
    working, started = Worker(), threading.Event()

    def endless() -> None:
        while True:
            started.set()
            working.relieve(Urgency.FITTING)

    future = working.submit(endless, Urgency.FITTING)
    waiting = working.submit(lambda: None, Urgency.FITTING)
    assert started.wait(SECONDS)
    working.stop()
    with pytest.raises(StoppedError):
        future.result(SECONDS)
    assert isinstance(waiting.exception(SECONDS), ClosingError)
    with pytest.raises(ClosingError):
        working.submit(lambda: None, Urgency.PICTURE)


def sitting(data: bytes = b"") -> Sitting:
    face = SitterFace(FaceFit(np.zeros((1, 1), np.float32), 0, None, 0.0))
    cut = CutPhoto((8, 8), "0" * 64, ())
    sitter = Sitter((8, 8), "0" * 64, "0" * 64, (face,))
    return Sitting(data, Image.new("RGB", (8, 8)), cut, sitter)


class Clock:
    """Clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_nobody_uses_expires_and_what_is_in_use_stays() -> None:
    clock, left = Clock(), []
    shelf: Shelf[Sitting] = Shelf("sitter", "send it", lambda name, one: left.append(name), clock)
    idle, used = shelf.put(sitting()), shelf.put(sitting())
    clock.now = 0.9 * IDLE_SECONDS
    shelf.get(used)
    clock.now = 1.1 * IDLE_SECONDS
    shelf.expire()
    assert left == [idle]
    with pytest.raises(UnknownItemError, match="no such sitter here, or no more; fix: send it"):
        shelf.get(idle)
    assert used in shelf


def test_the_longest_unused_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    shelf: Shelf[Sitting] = Shelf("sitter", "send it", lambda name, one: None, clock)
    names = []
    for clock.now in range(MAX_ITEMS):
        names.append(shelf.put(sitting()))
    shelf.get(names[0])
    shelf.put(sitting())
    assert len(shelf) == MAX_ITEMS
    assert names[0] in shelf
    assert names[1] not in shelf
    monkeypatch.setattr(visits, "MAX_BYTES", 10_000)
    last = shelf.put(sitting(bytes(9_000)))
    assert len(shelf) <= 6
    assert last in shelf
