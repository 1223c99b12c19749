"""Visitors' photos, live faces and styles, in memory alone, for as long as they are in use.

An identifier is a secret of the visitor who brought the photo, face or style: it cannot be guessed,
and nothing lists it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Generic, TypeVar

from PIL import Image

from dualstylegan.errors import BusyError, DualStyleGANError, UnknownItemError
from dualstylegan.io.images import picture_digest
from dualstylegan.portrait.reading import CutPhoto
from dualstylegan.portrait.sitter import Sitter

if TYPE_CHECKING:
    from torch import Tensor

    from dualstylegan.video.performing import PerformedFace, Performer

MAX_ITEMS = 32
MAX_BYTES = 768 << 20
IDLE_SECONDS = 20 * 60.0
# Live faces are few, as they share one worker, and gone soon after their last frame.
MAX_LIVE = 4
LIVE_IDLE_SECONDS = 20.0
DRAFT_SIDE = 1280


class State(StrEnum):
    """Progress of what a visitor has brought."""

    WAITING = "waiting"
    WORKING = "working"
    READY = "ready"
    FAILED = "failed"


@dataclass
class Progress:
    """Progress of a computation, set by the worker and read by the server.

    Attributes:
        state: where it is.
        done, total: steps.
        error: why it failed.
        left: nobody wants it any more.
    """

    state: State = State.WAITING
    done: int = 0
    total: int = 0
    error: DualStyleGANError | None = None
    left: bool = False


@dataclass
class Sitting:
    """Photo of a visitor.

    Attributes:
        data: the photo's file as it was sent.
        draft: the photo, its longer side at most `DRAFT_SIDE` pixels.
        cut: its faces as they were cut out.
        sitter: as it was read last: by the encoder first, then by the fit.
        revision: number of readings.
        fit: progress of the fit.
    """

    data: bytes
    draft: Image.Image
    cut: CutPhoto
    sitter: Sitter
    revision: int = 1
    fit: Progress = field(default_factory=Progress)

    @property
    def size(self) -> int:
        """Bytes in memory, about."""
        return len(self.data) + 3 * self.draft.width * self.draft.height + self.cut.size

    @cached_property
    def draft_digest(self) -> str:
        """Digest of the draft's pixels."""
        return picture_digest(self.draft)

    def renew(self, sitter: Sitter) -> None:
        """Take a better reading of the photo."""
        self.sitter, self.revision = sitter, self.revision + 1

    def draft_sitter(self) -> Sitter:
        """Return the sitter as if the draft had been read."""
        scale = self.draft.width / self.sitter.photo_size[0]
        faces = tuple(
            replace(
                face,
                quad_Q2=None if face.quad_Q2 is None else face.quad_Q2 * scale,
                landmarks_K2=None if face.landmarks_K2 is None else face.landmarks_K2 * scale,
            )
            for face in self.sitter.faces
        )
        left_out = tuple(other.scaled(scale) for other in self.sitter.left_out)
        return replace(
            self.sitter,
            photo_size=self.draft.size,
            photo_digest=self.draft_digest,
            faces=faces,
            left_out=left_out,
        )


@dataclass
class OwnStyle:
    """Style that a visitor has added.

    Attributes:
        name: given by the visitor.
        progress: of the optimisation.
        extrinsic_1LD, intrinsic_1LD: its codes, once it is ready.
        thumbnail: JPEG file of the aligned exemplar, once it is ready.
    """

    name: str
    progress: Progress = field(default_factory=Progress)
    extrinsic_1LD: Tensor | None = None
    intrinsic_1LD: Tensor | None = None
    thumbnail: bytes = b""

    @property
    def size(self) -> int:
        """Bytes in memory, about."""
        return 1 << 20


@dataclass
class LiveFace:
    """Face of a visitor before a camera.

    Attributes:
        performer: follows it from frame to frame.
        shown: as it was in the last frame that showed it.
        fit: progress of the fit of its track.
    """

    performer: Performer
    shown: PerformedFace | None = None
    fit: Progress = field(default_factory=Progress)

    @property
    def size(self) -> int:
        """Bytes in memory, about."""
        return 8 << 20


def draft_of(photo: Image.Image) -> Image.Image:
    """Return a photo reduced to the size of drafts."""
    scale = DRAFT_SIDE / max(photo.size)
    if scale >= 1:
        return photo
    size = max(1, round(photo.width * scale)), max(1, round(photo.height * scale))
    return photo.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


class Room:
    """Memory that uploads under way share.

    Args:
        limit: bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0

    def take(self, size: int) -> None:
        """Take some bytes.

        Raises:
            BusyError: there are not as many left.
        """
        if self._used + size > self._limit:
            raise BusyError(
                "too much is being sent",
                limit=f"{self._limit >> 20} MB",
                fix="try again in a minute",
            )
        self._used += size

    def give(self, size: int) -> None:
        """Give them back."""
        self._used -= size


Item = TypeVar("Item", Sitting, OwnStyle, LiveFace)


class Shelf(Generic[Item]):
    """Items by identifier; the one unused longest makes room, and idle ones expire.

    Args:
        noun: the items' name in errors.
        fix: advice where an item is gone.
        leave: called with the identifier and the item that is taken away.
        clock: seconds.
        idle_seconds: time after which an item that nobody has used expires.
    """

    def __init__(
        self,
        noun: str,
        fix: str,
        leave: Callable[[str, Item], None],
        clock: Callable[[], float] = time.monotonic,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._noun = noun
        self._fix = fix
        self._leave: Callable[[str, Item], None] = leave
        self._clock = clock
        self._idle_seconds = idle_seconds
        self._items: dict[str, tuple[Item, float]] = {}

    def __len__(self) -> int:
        """Number of items."""
        return len(self._items)

    def put(self, item: Item) -> str:
        """Keep an item; return its identifier."""
        self.expire()
        while self._items and (
            len(self._items) >= MAX_ITEMS
            or item.size + sum(kept.size for kept, _ in self._items.values()) > MAX_BYTES
        ):
            self.take(min(self._items, key=lambda name: self._items[name][1]))
        name = secrets.token_urlsafe(16)
        self._items[name] = (item, self._clock())
        return name

    def get(self, name: str) -> Item:
        """Return an item, which is in use from now on.

        Raises:
            UnknownItemError: there is none, or no more.
        """
        if name not in self._items:
            raise UnknownItemError(f"no such {self._noun} here, or no more", fix=self._fix)
        item, _ = self._items[name]
        self._items[name] = (item, self._clock())
        return item

    def __contains__(self, name: str) -> bool:
        """Return True for the identifier of an item."""
        return name in self._items

    def take(self, name: str) -> None:
        """Forget an item."""
        self._leave(name, self.get(name))
        del self._items[name]

    def expire(self) -> None:
        """Forget the items that nobody has used for `idle_seconds`."""
        line = self._clock() - self._idle_seconds
        for name in [name for name, (_, used) in self._items.items() if used < line]:
            self.take(name)
