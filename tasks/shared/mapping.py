"""Map over pictures, on threads of this process or on a Dask cluster's (`runtime.executor`).

A picture is asked for by its name and its key, the content address of its result. Whoever computes
it derives the key anew from what it reads itself in the project's folder `data`, writes the entry
under it, and returns no more than the entry's digest.
"""

from __future__ import annotations

import importlib
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, Protocol, TypeVar

import torch

from dualstylegan.errors import ClusterError
from dualstylegan.io.images import png_bytes
from tasks.shared.at_once import Tick, at_once, fits_at_once
from tasks.shared.caching import Entry, Make, entry_digest, read_entry, write_entry
from tasks.shared.paths import Paths
from tasks.shared.progress import Progress
from tasks.shared.settings import THREADS, Settings

Own = TypeVar("Own", bound="Computation")
# A file that another machine has written may be seen late in a shared folder.
VISIBLE_SECONDS, LOOK_SECONDS = 10.0, 0.1
# Pictures of a batch, and the keys of their results: two lists of equal length.
Batch = list[list[str]]
Digests = list[str]


class Origin(NamedTuple):
    """Name of a function, such as `tasks.invert:main`, and the JSON values that it is called with.

    The function returns one from an item, and a function to call with the steps done, to a result.
    """

    opener: str
    description: Mapping[str, Any]


class Spread(Protocol):
    """Executor: yields each item with its result, in the order in which they are done."""

    def __call__(
        self,
        work: Callable[[Any, Tick], Any],
        origin: Origin,
        items: Sequence[Any],
        progress: Tick,
        steps: int,
        together: int,
    ) -> Iterator[tuple[Any, Any]]: ...


def opened_executor(executor: str) -> AbstractContextManager[Spread]:
    """Return the executor of the setting `runtime.executor`, ready for work.

    Raises:
        ClusterError: no Dask scheduler answers at the address.
    """
    if executor == THREADS:
        return nullcontext(_on_threads)
    from tasks.shared.cluster import connected

    return connected(executor)


def _on_threads(
    work: Callable[[Any, Tick], Any],
    origin: Origin,
    items: Sequence[Any],
    progress: Tick,
    steps: int,
    together: int,
) -> Iterator[tuple[Any, Any]]:
    return at_once(work, items, progress, together)


class Computation(ABC):
    """Computation over pictures.

    Attributes:
        stage: names the folder of its entries under data/cache, and its progress.
        unit: what is counted, in the plural.
        batch: pictures that are computed together; bits may depend on the others of a batch.
        steps: of a batch, for the progress.
        together: batches that this process computes at once, see `tasks.shared.at_once`.
    """

    stage: str
    unit = "steps"
    batch = 1
    steps = 1
    together = 1

    @classmethod
    def of_set(cls: type[Own], settings: Settings) -> Own:
        """Return the computation for the style set whose paths are open."""
        raise NotImplementedError

    @abstractmethod
    def keys(self, names: Sequence[str]) -> list[str]:
        """Return the key of each result, see `tasks.shared.caching.cache_key`."""

    @abstractmethod
    def compute(self, names: Sequence[str], tick: Tick) -> Iterable[Entry]:
        """Compute the entries of a batch in turn; call `tick` with the steps done."""


class Pictures(Computation):
    """Pictures that functions of this process make, by name: keys and functions."""

    unit = "pictures"

    def __init__(self, stage: str, makers: Mapping[str, tuple[str, Make]]) -> None:
        self.stage, self._makers = stage, makers
        self.together = fits_at_once(torch.device("cpu"))

    def keys(self, names: Sequence[str]) -> list[str]:
        """Return the keys that were given."""
        return [self._makers[name][0] for name in names]

    def compute(self, names: Sequence[str], tick: Tick) -> Iterator[Entry]:
        """Make pictures, as PNG files."""
        for done, name in enumerate(names):
            image, facts = self._makers[name][1]()
            yield Entry(None if image is None else png_bytes(image), facts)
            tick(done + 1)


def mapped(
    computation: Computation, names: Iterable[str], settings: Settings | None = None
) -> Iterator[Entry]:
    """Compute what is not cached, then return the entries of all pictures in turn.

    Args:
        computation: of the pictures.
        names: of the pictures.
        settings: of the set, by which others open the same computation; None: it is this process's.

    Raises:
        ClusterError: the cluster is lost, has no workers, or does not share this project.
    """
    names = list(names)
    executor = THREADS if settings is None else settings.runtime.executor
    with opened_executor(executor) as spread:
        keys = computation.keys(names)
        folder = Paths.cache / computation.stage
        missing = {k: n for n, k in zip(names, keys, strict=True) if read_entry(folder, k) is None}
        told = _compute_missing(computation, missing, spread, _origin(computation, settings))
    return (_entry(computation.stage, key, told.get(key)) for key in keys)


def _compute_missing(
    computation: Computation, missing: Mapping[str, str], spread: Spread, origin: Origin
) -> dict[str, str]:
    """Compute missing entries, names by key; return the digests that are told of them."""
    size, keys, names = computation.batch, list(missing), list(missing.values())
    batches = [[names[i : i + size], keys[i : i + size]] for i in range(0, len(keys), size)]
    if not batches:
        return {}
    steps = len(batches) * computation.steps
    shown = Progress(computation.stage, steps, computation.unit)

    def progress(done: int) -> None:
        shown(done, f"of {len(keys)} pictures" if computation.unit == "steps" else "")

    def work(batch: Batch, tick: Tick) -> Digests:
        return compute_batch(computation, batch, tick)

    told: dict[str, str] = {}
    done = spread(work, origin, batches, progress, computation.steps, computation.together)
    for (_, own), digests in done:
        told |= dict(zip(own, digests, strict=True))
    shown(steps)
    return told


def compute_batch(computation: Computation, batch: Batch, tick: Tick) -> Digests:
    """Write the entries of a batch unless they are there; return their digests."""
    names, keys = batch
    folder = Paths.cache / computation.stage
    held = [read_entry(folder, key) for key in keys]
    digests = [entry_digest(entry) for entry in held if entry is not None]
    if len(digests) == len(keys):  # its first worker was lost after the work
        return digests
    digests = []
    for key, entry in zip(keys, computation.compute(names, tick), strict=True):
        write_entry(folder, key, entry)
        digests.append(entry_digest(entry))
    return digests


def _origin(computation: Computation, settings: Settings | None) -> Origin:
    """Return how a worker opens a computation for the style set of this process."""
    if settings is None:
        return Origin("", {})
    # the executor and this machine's threads are no concern of a worker
    runtime = settings.runtime.model_copy(update={"executor": THREADS, "threads": 1})
    own = settings.model_copy(update={"runtime": runtime})
    described = {
        "computation": _name_of(type(computation)),
        "settings": own.model_dump(mode="json", by_alias=True),
        "set": Paths.set_name(),
    }
    return Origin(f"{__name__}:open_computation", described)


def _name_of(kind: type) -> str:
    """Return the name by which another process imports a class, that of a stage's module too."""
    module = sys.modules[kind.__module__]
    spec = module.__spec__
    return f"{kind.__module__ if spec is None else spec.name}:{kind.__qualname__}"


def imported(name: str) -> Any:
    """Return what a name such as `tasks.invert:Inverter` stands for."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def open_computation(
    computation: str, settings: Mapping[str, Any], set: str
) -> Callable[[Batch, Tick], Digests]:
    """Return a function that computes batches of a style set in another process.

    It is opened anew once the keys show that a file which it has read was replaced.
    """
    kind: type[Computation] = imported(computation)
    checked = Settings.model_validate(settings)
    kept: list[Computation] = []

    def work(batch: Batch, tick: Tick) -> Digests:
        Paths.open_set(set)
        names, keys = batch
        if not kept or kept[0].keys(names) != keys:
            kept.clear()  # one set of networks in memory at a time
            kept.append(kind.of_set(checked))
            _check_keys(kept[0], names, keys)
        return compute_batch(kept[0], batch, tick)

    return work


def _check_keys(computation: Computation, names: Sequence[str], keys: Sequence[str]) -> None:
    """Refuse pictures whose inputs are others here than where they were asked for."""
    end = time.monotonic() + VISIBLE_SECONDS
    while (found := computation.keys(names)) != list(keys):
        if time.monotonic() > end:
            other = [n for n, a, b in zip(names, found, keys, strict=True) if a != b]
            raise ClusterError(
                f"{computation.stage}: a worker reads other data than this process",
                file=Paths.style_set.absolute(),
                value=", ".join(other[:3]),
                fix="start workers in the project's folder, or in a copy whose `data` is the same",
            )
        time.sleep(LOOK_SECONDS)


def _entry(stage: str, key: str, digest: str | None) -> Entry:
    """Return a computed entry, as it is read: JSON orders keys and knows no tuples.

    Args:
        stage: that computed it.
        key: of the entry.
        digest: that was told of it; None: it was there.
    """
    end = time.monotonic() + VISIBLE_SECONDS
    while True:
        entry = read_entry(Paths.cache / stage, key)
        if entry is not None and digest in (None, entry_digest(entry)):
            return entry
        if time.monotonic() > end:
            raise ClusterError(
                f"{stage}: a result that a worker has written is not there, or another",
                file=(Paths.cache / stage / f"{key}.json").absolute(),
                fix="start workers in the project's folder, or in a copy whose `data` is the same",
            )
        time.sleep(LOOK_SECONDS)
