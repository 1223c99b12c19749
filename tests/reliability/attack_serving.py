"""Attack on both servers by requests: refusals, memory, latency, and the stop under load."""

from __future__ import annotations

import itertools
import os
import random
import re
import signal
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import ROOT
from tests.reliability import mlflow_shots
from tests.reliability.running import Ended
from tests.reliability.serving_doors import STUDIO, Door, Opening
from tests.reliability.serving_shots import HOSTILE, VALID, Outcome, Shot, fire
from tests.reliability.studio_shots import StudioShots, portrait

REQUESTS_PER_ROUND = 1000
TIMED_PER_ROUND = 20
AT_ONCE = 8
LEVELS = (1, 4, 16)
WARM_SHARE = 0.2
STOP_SECONDS = 8.0
# Nothing of the server's own may stand in an answer.
SECRET = re.compile(rb"Traceback|stack_trace|site-packages|File \\?\"|\.py\b|/tmp/|/usr/|/home/")
Draw = Callable[[random.Random], Shot]


@dataclass
class Tally:
    """Counts of outcomes.

    Attributes:
        statuses: by the hundred; 0 for none.
        faults: descriptions of what must not be, by kind.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    faults: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, shot: Shot, outcome: Outcome) -> None:
        """Count an outcome and what is wrong with it."""
        self.statuses[outcome.status // 100 if outcome.status > 0 else outcome.status] += 1
        if outcome.status >= 500:
            self._fault("5xx", f"{shot.name}: {outcome.status}")
        if outcome.status == -1:
            self._fault("no answer in time", shot.name)
        if outcome.status == -2:
            self._fault("not connected", shot.name)
        if shot.kind == VALID and not 200 <= outcome.status < 300:
            self._fault("valid and not served", f"{shot.name}: {outcome.status}")
        if shot.kind == HOSTILE and not 400 <= outcome.status < 500:
            self._fault("hostile and not refused", f"{shot.name}: {outcome.status}")
        if outcome.status >= 400 and SECRET.search(outcome.body):
            self._fault("answers with secrets", shot.name)

    def _fault(self, kind: str, what: str) -> None:
        self.faults.setdefault(kind, Counter())[what] += 1

    def lines(self) -> Iterator[str]:
        """Yield the counts, and the faults with their commonest examples."""
        names = {2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx", 0: "closed", -1: "silent", -2: "unreached"}
        counted = ", ".join(
            f"{self.statuses[code]} {names[code]}" for code in sorted(self.statuses)
        )
        yield f"{sum(self.statuses.values())} requests: {counted}"
        kinds = ("5xx", "no answer in time", "not connected", "valid and not served",
                 "hostile and not refused", "answers with secrets")  # fmt: skip
        for kind in kinds:
            found = self.faults.get(kind, Counter())
            told = "".join(f"; {count} x {what}" for what, count in found.most_common(12))
            yield f"{kind}: {sum(found.values())}{told}"


def volley(door: Door, draw: Draw, seed: str, numbers: range, at_once: int, tally: Tally) -> None:
    """Send requests from several threads; each is drawn from the seed and its number alone."""
    waiting, lock = iter(numbers), threading.Lock()

    def send() -> None:
        while True:
            with lock:
                number = next(waiting, None)
            if number is None:
                return
            shot = draw(random.Random(f"{seed} {number}"))
            outcome = fire(door.port, shot)
            with lock:
                tally.add(shot, outcome)

    _together(send, at_once)


def latencies(door: Door, one: Draw, seed: str, count: int, at_once: int) -> str:
    """Return the latency of small valid requests."""
    seconds: list[float] = []
    waiting = itertools.count()

    def send() -> None:
        while (number := next(waiting)) < count:
            outcome = fire(door.port, one(random.Random(f"{seed} {number}")))
            assert outcome.status == 200, outcome
            seconds.append(outcome.seconds)

    start = time.perf_counter()
    _together(send, at_once)
    rate = count / (time.perf_counter() - start)
    median, ninety_fifth = (1000 * statistics.quantiles(seconds, n=20)[k] for k in (9, 18))
    return (
        f"{at_once} at once: median {median:.0f} ms, p95 {ninety_fifth:.0f} ms, {rate:.0f} a second"
    )


def stop_under_load(door: Door, one: Draw, seed: str, after: float) -> tuple[Ended, Counter[str]]:
    """Ask a server to end while requests run; return its end and how the requests ended."""
    ended, lock = threading.Event(), threading.Lock()
    ways: Counter[str] = Counter()
    numbers = itertools.count()

    def send() -> None:
        while not ended.is_set():
            start = time.perf_counter()
            outcome = fire(door.port, one(random.Random(f"{seed} {next(numbers)}")))
            way = {200: "served", 0: "closed", -2: "refused"}.get(outcome.status)
            if start + outcome.seconds > asked[0]:
                with lock:
                    ways[way or f"answered {outcome.status}"] += 1
                if way == "refused":
                    return

    asked = [float("inf")]
    threads = [threading.Thread(target=send) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    time.sleep(after)
    asked[0] = time.perf_counter()
    end = door.run.send(signal.SIGTERM, STOP_SECONDS)
    ended.set()
    for thread in threads:
        thread.join()
    return end, ways


def _together(work: Callable[[], None], count: int) -> None:
    """Run the same work in several threads; raise what one of them raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]


def shots(door: Door, weights: Path) -> tuple[Draw, Draw]:
    """Return what draws any request to a server, and what draws a small valid one."""
    if door.name != STUDIO:
        return mlflow_shots.draw, mlflow_shots.one
    visitors = StudioShots(door.port, portrait(weights))
    return visitors.draw, visitors.one


def pinned_weights() -> Path:
    """Return the folder of the pinned weights, fetched unless they are there."""
    from tasks.weights.downloads import fetch_all

    named = os.environ.get("DUALSTYLEGAN_WEIGHTS")
    if named is None:
        fetch_all(ROOT / "data/cache/downloads", ROOT / "data/weights")
    return Path(named or ROOT / "data/weights")


def attack(
    rounds: int, rng: random.Random, folder: Path, root: Path, *, opened: Opening
) -> Iterator[str]:
    """Send mixed requests to a server, time it, and stop it under load."""
    weights, total = pinned_weights(), rounds * REQUESTS_PER_ROUND
    seed, tally, warm = str(rng.random()), Tally(), int(total * WARM_SHARE)
    with opened(folder, weights, root) as door:
        draw, one = shots(door, weights)
        volley(door, draw, seed, range(warm), AT_ONCE, tally)
        before = door.memory()
        volley(door, draw, seed, range(warm, total), AT_ONCE, tally)
        yield from tally.lines()
        yield f"memory {before:.0f} MiB after {warm} requests, {door.memory():.0f} at the end"
        for at_once in LEVELS:
            count = max(TIMED_PER_ROUND * rounds, 4 * at_once)
            yield latencies(door, one, f"{seed} timed", count, at_once)
    ends, ways = [], Counter[str]()
    for number in range(max(1, rounds // 3)):
        with opened(folder, weights, root) as door:
            _, one = shots(door, weights)
            end, seen = stop_under_load(door, one, f"{seed} {number}", rng.uniform(0.2, 2))
            ends.append(end)
            ways += seen
    yield f"SIGTERM under load: {stops(ends, ways)}"


def stops(ends: list[Ended], ways: Counter[str]) -> str:
    """Return the figures of servers that were stopped under load."""
    longest = max(end.seconds for end in ends)
    codes = ", ".join(map(str, sorted({end.code for end in ends})))
    seen = ", ".join(f"{count} {way}" for way, count in sorted(ways.items()))
    left, traces = sum(end.left for end in ends), sum("Traceback" in end.errors for end in ends)
    return (
        f"{len(ends)} stops, longest {longest:.1f} s, codes {codes}, {left} processes left, "
        f"{traces} tracebacks; requests at that moment and after: {seen}"
    )
