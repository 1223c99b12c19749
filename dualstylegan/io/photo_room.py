"""Room for whole photos in memory, which the requests of a server share."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from functools import partial

from PIL import Image

from dualstylegan.io.allocator import handing_back
from dualstylegan.io.images import LARGE_PIXELS, decode_image, image_size
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
        place = self._ask(pixels)
        try:
            place.result()
            with _returned(pixels):
                yield decode_image(data)
        finally:
            self._give(0 if place.cancel() else pixels)  # interrupted while it waited, or not

    @asynccontextmanager
    async def decoded_aside(self, data: bytes) -> AsyncIterator[Image.Image]:
        """Decode the bytes of an image file in a thread, see `decoded`."""
        pixels = await asyncio.to_thread(self._pixels, data)
        place = self._ask(pixels)
        decoding: asyncio.Future[Image.Image] | None = None
        try:
            await asyncio.wrap_future(place)
            with _returned(pixels):
                loop = asyncio.get_running_loop()
                decoding = loop.run_in_executor(None, decode_image, data)
                yield await asyncio.shield(decoding)
        finally:
            if place.cancelled():  # while it waited: it has been given nothing
                self._give(0)
            elif decoding is None or decoding.done():
                self._give(pixels)
            else:  # cancelled, while the thread goes on
                decoding.add_done_callback(partial(self._left, pixels))
            del decoding  # which an error would keep, with the file, as it is kept by it

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

    def _left(self, pixels: int, decoding: asyncio.Future[Image.Image]) -> None:
        """Give back the room of a photo that is decoded and that nobody waits for any more."""
        if not decoding.cancelled():
            decoding.exception()
        self._give(pixels)

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


def _returned(pixels: int) -> AbstractContextManager[None]:
    """Return a block in which the memory of a large photo goes back to the kernel."""
    return handing_back() if pixels >= LARGE_PIXELS else nullcontext()
