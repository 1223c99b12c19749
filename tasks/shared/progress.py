"""Progress on the terminal: steps done, time passed and time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO, TypeVar

LINE_SECONDS = 5.0
REDRAW_SECONDS = 0.1

Item = TypeVar("Item")


class Progress:
    """Progress of a task: one line redrawn on a terminal, else a line every few seconds.

    Args:
        name: of the task, such as `invert`.
        total: number of steps, at least 0.
        unit: what is counted, in the plural.
        stream: stderr by default.

    Attributes:
        done_before: steps done before this process; they do not count for the time left.
    """

    def __init__(
        self, name: str, total: int, unit: str = "steps", stream: TextIO | None = None
    ) -> None:
        self.name, self.total, self.unit = name, total, unit
        self.stream = sys.stderr if stream is None else stream
        self.redraws = self.stream.isatty()
        self.start = time.monotonic()
        self.shown_at = -LINE_SECONDS
        self.done_before = 0

    def __call__(self, done: int, note: str = "") -> None:
        """Show that `done` steps are finished, with a note on the last one."""
        passed = time.monotonic() - self.start
        pause = REDRAW_SECONDS if self.redraws else LINE_SECONDS
        if done < self.total and passed - self.shown_at < pause:
            return
        self.shown_at = passed
        done_here = done - self.done_before
        left = passed * (self.total - done) / done_here if done_here else None
        times = clock(passed) if left is None else f"{clock(passed)}, {clock(left)} left"
        text = f"{self.name}: {done}/{self.total} {self.unit} ({times}) {note}".rstrip()
        if not self.redraws:
            print(text, file=self.stream, flush=True)
            return
        end = "\n" if done >= self.total else ""
        print(f"\r\x1b[2K{text}", end=end, file=self.stream, flush=True)


def progress_by_name(prefix: str = "") -> Callable[[str, int, int], None]:
    """Return a function (name, done, total) that shows the progress of several named tasks."""
    tasks: dict[str, Progress] = {}

    def show(name: str, done: int, total: int) -> None:
        if name not in tasks:
            tasks[name] = Progress(prefix + name, total)
            tasks[name].done_before = done  # the clock starts here
        tasks[name](done)

    return show


def with_progress(items: Sequence[Item], name: str, unit: str) -> Iterator[Item]:
    """Iterate over items and show the progress."""
    progress = Progress(name, len(items), unit)
    for done, item in enumerate(items):
        yield item
        progress(done + 1)


def clock(seconds: float) -> str:
    """Format seconds as M:SS."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
