"""What every stage shares: settings, paths, the runner, progress, and results kept one by one."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, TypeVar

from dualstylegan.errors import DualStyleGANError
from dualstylegan.io.files import atomic_write, read_json, write_json
from tasks.shared.paths import Paths
from tasks.shared.settings import Machine, Settings, load

if TYPE_CHECKING:
    import torch

FAULT = 2
PLAIN_SECONDS = 5.0

Item = TypeVar("Item")
Result = TypeVar("Result")


def load_settings() -> Settings:
    """params.yaml of the working folder; a fault ends the process with its message and code 2."""
    try:
        return load()
    except DualStyleGANError as error:
        sys.exit(_complain("settings", error))


def run_stage(name: str, work: Callable[[], object], timed: bool = True) -> None:
    """Run a stage: its faults as one line and exit code 2, its seconds to timings/NAME.json.

    Args:
        name: of the stage.
        work: what it does.
        timed: whether the seconds are kept.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)
    start = time.monotonic()
    try:
        work()
    except DualStyleGANError as error:
        sys.exit(_complain(name, error))
    seconds = time.monotonic() - start
    if timed:
        write_json(Paths.timings / f"{name}.json", {"seconds": round(seconds, 3), "stage": name})
    print(f"{name}: done in {seconds:.1f} s")


def _complain(name: str, error: DualStyleGANError) -> int:
    print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
    return FAULT


class Progress:
    """How far something is, and how long it will take: one line rewritten, or plain lines.

    Args:
        name: what is being done.
        total: number of steps, at least 0.
        stream: stderr by default. Where it is no terminal, a line is written every few seconds.

    Attributes:
        done_before: steps that were done before this process; the time left does not count them.
    """

    def __init__(self, name: str, total: int, stream: TextIO | None = None) -> None:
        self.name, self.total = name, total
        self.stream = sys.stderr if stream is None else stream
        self.live = self.stream.isatty()
        self.start = time.monotonic()
        self.told = -PLAIN_SECONDS
        self.done_before = 0

    def __call__(self, done: int, note: str = "") -> None:
        """`done` steps are finished; `note` says what about the last one."""
        passed = time.monotonic() - self.start
        pause = 0.1 if self.live else PLAIN_SECONDS
        if done < self.total and passed - self.told < pause:
            return
        self.told = passed
        fresh = done - self.done_before
        left = passed * (self.total - done) / fresh if fresh else None
        eta = "" if left is None else f", {_clock(left)} left"
        text = f"{self.name} {done}/{self.total} ({_clock(passed)}{eta}) {note}".rstrip()
        if not self.live:
            print(text, file=self.stream, flush=True)
            return
        end = "\n" if done >= self.total else ""
        print(f"\r\x1b[2K{text}", end=end, file=self.stream, flush=True)


def parts_shown(prefix: str = "") -> Callable[[str, int, int], None]:
    """Progress of each part of some work by its name, with the time left."""
    parts: dict[str, Progress] = {}

    def show(what: str, done: int, total: int) -> None:
        if what not in parts:
            parts[what] = Progress(prefix + what, total)
            parts[what].done_before = done  # the clock starts here
        parts[what](done)

    return show


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def tracked(items: Sequence[Item], name: str) -> Iterator[Item]:
    """Iterate with progress."""
    progress = Progress(name, len(items))
    for done, item in enumerate(items):
        yield item
        progress(done + 1)


def item_key(*parts: object) -> str:
    """Digest of everything that a result depends on: image sha256, settings, model digests.

    Args:
        parts: fit for JSON.
    """
    text = json.dumps(parts, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def cached_items(
    folder: Path,
    keys: Sequence[str],
    work: Callable[[list[int]], Iterable[tuple[int, Result]]],
    *,
    dump: Callable[[Result], bytes],
    parse: Callable[[bytes], Result],
) -> list[Result]:
    """Results of all keys; only those that are not kept yet are made.

    Each result is kept as soon as `work` yields it, as KEY.bin and, written last, KEY.json with
    the digest of its bytes. A process killed in between loses what it had not yielded.

    Args:
        folder: where results are kept.
        keys: see `item_key`; one an item.
        work: from the indices that are missing to pairs (index, result), in any order.
        dump, parse: to bytes and back; what is returned has always gone through both.

    Raises:
        RuntimeError: `work` left items out.
    """
    missing = [i for i, key in enumerate(keys) if _kept(folder, key) is None]
    for index, result in work(missing) if missing else ():
        data = dump(result)
        with atomic_write(folder / f"{keys[index]}.bin") as handle:
            handle.write(data)
        write_json(folder / f"{keys[index]}.json", {"sha256": hashlib.sha256(data).hexdigest()})
    results = []
    for key in keys:
        kept = _kept(folder, key)
        if kept is None:
            raise RuntimeError(f"no result was made for {key}")
        results.append(parse(kept))
    return results


def _kept(folder: Path, key: str) -> bytes | None:
    """The bytes kept under a key, if they are there and whole."""
    try:
        data = (folder / f"{key}.bin").read_bytes()
        whole = hashlib.sha256(data).hexdigest() == read_json(folder / f"{key}.json")["sha256"]
    except (OSError, DualStyleGANError, KeyError, TypeError):
        return None
    return data if whole else None


def set_threads(threads: int) -> None:
    """Limit torch to a number of threads; 0 leaves it as it is (OMP_NUM_THREADS counts)."""
    if threads and "OMP_NUM_THREADS" not in os.environ:
        import torch

        torch.set_num_threads(threads)


def prepare(runtime: Machine) -> torch.device:
    """Configure torch's threads and memory; return the device.

    Raises:
        SettingsError: this machine lacks the device.
    """
    from dualstylegan.io.allocator import keep_freed_memory
    from dualstylegan.networks.device import resolve_device

    keep_freed_memory()
    set_threads(runtime.threads)
    return resolve_device(runtime.device)
