"""Room for whole photos: never more than it has, all in their turn, and nothing is lost of it."""

from __future__ import annotations

import asyncio
import io
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from PIL import Image

from dualstylegan.errors import ImageError
from dualstylegan.io import images, photo_room
from dualstylegan.io.photo_room import PhotoRoom

PIXELS = 10_000
SECONDS = 20.0


def photo(width: int, height: int = 100) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, "PNG")
    return file.getvalue()


@dataclass
class Held:
    """Pixels of photos that are decoded or being decoded, and the most of them at a time."""

    now: int = 0
    most: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, pixels: int) -> None:
        with self.lock:
            self.now += pixels
            self.most = max(self.most, self.now)

    @contextmanager
    def counted(self, pixels: int) -> Iterator[None]:
        self.add(pixels)
        try:
            yield
        finally:
            self.add(-pixels)


@pytest.fixture
def slow_decoding(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Decoding, in all threads, that ends once the event is set."""
    ready, decode = threading.Event(), images.decode_image

    def decoded(data: bytes) -> Image.Image:
        assert ready.wait(SECONDS)
        return decode(data)

    monkeypatch.setattr(photo_room, "decode_image", decoded)
    return ready


async def until(reached: Callable[[], object]) -> None:
    end = time.monotonic() + SECONDS
    while not reached():
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


def is_free(room: PhotoRoom) -> bool:
    """Return True if a photo as large as the room is let in at once."""
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(lambda: room.decoded(photo(PIXELS // 100)).__enter__().size)
        return done.result(SECONDS) == (PIXELS // 100, 100)


def test_many_threads_never_hold_more_than_the_room() -> None:
    room, held, rng = PhotoRoom(PIXELS), Held(), random.Random(0)
    widths = [rng.randrange(8, 101) for _ in range(120)]

    def use(width: int) -> int:
        with room.decoded(photo(width)) as image, held.counted(width * 100):
            time.sleep(0.001)
            return image.width

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(use, widths)) == widths
    assert PIXELS // 2 < held.most <= PIXELS
    assert is_free(room)


def test_threads_and_tasks_share_it() -> None:
    room, held = PhotoRoom(PIXELS), Held()

    def in_thread(width: int) -> None:
        with room.decoded(photo(width)), held.counted(width * 100):
            time.sleep(0.001)

    async def in_task(width: int) -> None:
        async with room.decoded_aside(photo(width)):
            with held.counted(width * 100):
                await asyncio.sleep(0.001)

    async def both() -> None:
        widths = range(10, 70)
        threads = (asyncio.to_thread(in_thread, width) for width in widths)
        await asyncio.wait_for(asyncio.gather(*threads, *map(in_task, widths)), SECONDS)

    asyncio.run(both())
    assert held.most <= PIXELS
    assert is_free(room)


def test_a_photo_larger_than_the_room_has_it_alone_and_is_not_overtaken() -> None:
    room, order = PhotoRoom(PIXELS), list[str]()

    async def use(name: str, width: int, height: int, until_let_go: asyncio.Event) -> None:
        async with room.decoded_aside(photo(width, height)) as image:
            order.append(f"{name} in")
            assert image.size == (width, height)
            await until_let_go.wait()
            order.append(f"{name} out")

    async def several() -> None:
        events = [asyncio.Event() for _ in range(3)]
        tasks = [asyncio.create_task(use("first", 20, 100, events[0]))]
        await until(lambda: order == ["first in"])
        tasks.append(asyncio.create_task(use("huge", 300, 300, events[1])))
        await until(lambda: len(room._waiting) == 1)
        # those that come later would fit beside the first one
        tasks += [asyncio.create_task(use(f"late{n}", 10, 10, events[2])) for n in range(2)]
        await until(lambda: len(room._waiting) == 3)
        events[0].set()
        await until(lambda: order[-1] == "huge in")
        await asyncio.sleep(0.02)
        assert order == ["first in", "first out", "huge in"]
        events[1].set()
        await until(lambda: len(order) == 6)
        events[2].set()
        await asyncio.gather(*tasks)

    asyncio.run(several())
    assert is_free(room)


def test_room_is_given_back_after_errors() -> None:
    room, damaged = PhotoRoom(PIXELS), photo(100)[:-30]

    async def fail(data: bytes) -> None:
        async with room.decoded_aside(data):
            raise KeyError

    for _ in range(3):
        with pytest.raises(ImageError), room.decoded(damaged):
            pass
        with pytest.raises(KeyError), room.decoded(photo(100)):
            raise KeyError
        with pytest.raises(ImageError):
            asyncio.run(fail(damaged))
        with pytest.raises(ImageError):
            asyncio.run(fail(b"no picture"))
        with pytest.raises(KeyError):
            asyncio.run(fail(photo(100)))
    assert is_free(room)


def test_those_behind_one_that_is_cancelled_go_on() -> None:
    room = PhotoRoom(PIXELS)

    async def use(width: int) -> int:
        async with room.decoded_aside(photo(width)) as image:
            return image.width

    async def several() -> None:
        async with room.decoded_aside(photo(60)):
            head, *others = [asyncio.create_task(use(width)) for width in (100, 30, 40)]
            await until(lambda: len(room._waiting) == 3)
            head.cancel()
            with pytest.raises(asyncio.CancelledError):
                await head
            # the others fit beside the one that is held
            assert await asyncio.wait_for(asyncio.gather(*others), SECONDS) == [30, 40]

    asyncio.run(several())
    assert is_free(room)


def test_one_that_is_cancelled_keeps_its_room_while_a_thread_decodes_it(
    slow_decoding: threading.Event,
) -> None:
    room = PhotoRoom(PIXELS)

    async def use() -> None:
        async with room.decoded_aside(photo(100)):
            pass

    async def several() -> None:
        first = asyncio.create_task(use())
        await until(lambda: room._free == 0)
        await asyncio.sleep(0.02)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        second = asyncio.create_task(use())
        await until(lambda: room._waiting)
        assert room._free == 0
        slow_decoding.set()
        await asyncio.wait_for(second, SECONDS)

    asyncio.run(several())
    assert is_free(room)


def test_tasks_that_are_cancelled_at_any_moment_lose_no_room() -> None:
    room, held, rng = PhotoRoom(PIXELS), Held(), random.Random(1)

    async def use(width: int) -> None:
        async with room.decoded_aside(photo(width)):
            with held.counted(width * 100):
                await asyncio.sleep(rng.random() * 0.003)

    async def several() -> None:
        tasks = [asyncio.create_task(use(rng.randrange(8, 101))) for _ in range(80)]
        for task in rng.sample(tasks, 50):
            await asyncio.sleep(rng.random() * 0.004)
            task.cancel()
        ends = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), SECONDS)
        assert all(end is None or isinstance(end, asyncio.CancelledError) for end in ends)
        await until(lambda: room._free == PIXELS)

    asyncio.run(several())
    assert held.most <= PIXELS
    assert is_free(room)
