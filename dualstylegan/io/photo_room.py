"""Room for whole photos in memory, which the requests of a server share."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager

from PIL import Image

from dualstylegan.io.images import decode_image, image_size
from dualstylegan.io.picture_bounds import MAX_PIXELS


class PhotoRoom:
    """Room for photos that have at most so many pixels together; others wait in their order.

    A photo is counted from before its decoding until it is let go. Whoever holds one must not ask
    for another.

    Args:
        pixels: of all photos; a single one of more takes it all.
    """

    def __init__(self, pixels: int = MAX_PIXELS) -> None:
        self._free = self._all = pixels
        self._waiting: deque[tuple[int, Future[None]]] = deque()
        self._lock = threading.Lock()

    @contextmanager
    def decoded(self, data: bytes) -> Iterator[Image.Image]:
        """Decode the bytes of an image file; the photo is to be let go at the end.

        Raises:
            ImageError: see `decode_image`.
        """
        pixels = self._pixels(data)
        self._ask(pixels).result()
        try:
            yield decode_image(data)
        finally:
            self._give(pixels)

    @asynccontextmanager
    async def decoded_aside(self, data: bytes) -> AsyncIterator[Image.Image]:
        """Decode the bytes of an image file in a thread, see `decoded`."""
        pixels = await asyncio.to_thread(self._pixels, data)
        place = self._ask(pixels)
        try:
            await asyncio.wrap_future(place)
            yield await asyncio.to_thread(decode_image, data)
        finally:
            # one that is cancelled while it waits has been given nothing
            self._give(0 if place.cancelled() else pixels)

    def _pixels(self, data: bytes) -> int:
        width, height = image_size(data)
        return min(width * height, self._all)

    def _ask(self, pixels: int) -> Future[None]:
        """Return what is done once there is room."""
        place: Future[None] = Future()
        with self._lock:
            self._waiting.append((pixels, place))
        self._give(0)
        return place

    def _give(self, pixels: int) -> None:
        """Give room back, and let in who is next."""
        with self._lock:
            self._free += pixels
            while self._waiting:
                taken, place = self._waiting[0]
                if taken > self._free and not place.cancelled():
                    return
                self._waiting.popleft()
                if place.set_running_or_notify_cancel():
                    self._free -= taken
                    place.set_result(None)
