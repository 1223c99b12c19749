"""Mattes of a head through a shot: their noise falls, and what changes is followed.

Legend of shape suffixes: N image, H height, W width.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np

from dualstylegan.faces.filters import Map, blurred, ramp
from dualstylegan.video.smoothing import mean_share

# Cut-off of the mean over time, and the changes between which it gives way, blurred by so many
# pixels: noise is small and fine, hair that swings is neither.
CUTOFF_HERTZ = 0.7
NOISE, CHANGE = 0.1, 0.4
BLUR = 2.0


class SteadyMattes:
    """Mean over time of a head's mattes, in its aligned crop, where a head that moves stands still.

    Frames are rendered on several threads, and each takes its turn, so that results do not depend
    on the number of threads.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._given = self._turn = 0
        self._left: set[int] = set()
        self._mattes_NHW: Map | None = None
        self._seconds = 0.0

    def next_frame(self, seconds: float) -> AbstractContextManager[Callable[[Map], Map]]:
        """Return the turn of the next frame, shown at `seconds`, for a `with` block.

        It gives the function that makes the mattes (N, H, W) of the frame steady, to be called at
        most once. It waits for the frames before: blocks are to be entered in their order. At the
        end of the block the turn is over, whatever has happened.
        """
        turn, self._given = self._given, self._given + 1
        return self._frame(turn, seconds)

    @contextmanager
    def _frame(self, turn: int, seconds: float) -> Iterator[Callable[[Map], Map]]:

        def steady(mattes_NHW: Map) -> Map:
            with self._changed:
                self._changed.wait_for(lambda: self._turn == turn)
                mean_NHW = self._mean(mattes_NHW, seconds)
                self._end(turn)
            return mean_NHW

        try:
            yield steady
        finally:
            with self._changed:
                self._end(turn)

    def _mean(self, mattes_NHW: Map, seconds: float) -> Map:
        before_NHW = self._mattes_NHW
        if before_NHW is not None:
            share = mean_share(CUTOFF_HERTZ, max(seconds - self._seconds, 1e-6))
            moved = np.abs(blurred(mattes_NHW - before_NHW, BLUR))
            follow_NHW = share + (1 - share) * ramp(moved, NOISE, CHANGE)
            mattes_NHW = before_NHW + follow_NHW * (mattes_NHW - before_NHW)
        self._mattes_NHW, self._seconds = mattes_NHW, seconds
        return mattes_NHW

    def _end(self, turn: int) -> None:
        """End a turn; those after it that have ended already go with it."""
        if turn < self._turn:
            return
        self._left.add(turn)
        while self._turn in self._left:
            self._left.remove(self._turn)
            self._turn += 1
        self._changed.notify_all()
