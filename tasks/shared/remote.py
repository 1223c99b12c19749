"""Work of a Dask worker: a function by the digest of its description, called with a task's item.

A worker process does one task at a time, on one thread of torch, whatever number of threads Dask
gives it: its networks are in memory once, and its bits are those of a fit on threads.
"""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dualstylegan.errors import ClusterError
from dualstylegan.io.files import read_json, write_json
from tasks.shared.caching import cache_key
from tasks.shared.mapping import LOOK_SECONDS, VISIBLE_SECONDS, imported
from tasks.shared.paths import PROJECT, Paths

if TYPE_CHECKING:
    from tasks.shared.mapping import Origin

WORK = Paths.cache / "work"
CODE = ("dualstylegan", "tasks")


class _Opened:
    """Function that this process has opened last, and the digest of its description."""

    lock = threading.Lock()
    digest = ""
    work: Callable[[Any, Callable[[int], None]], Any] | None = None


@cache
def versions() -> dict[str, str]:
    """Return the digest of the project's code as this process found it, and torch's version."""
    from importlib.metadata import version

    digest = hashlib.sha256()
    for folder in CODE:
        for path in sorted((PROJECT / folder).rglob("*.py")):
            digest.update(str(path.relative_to(PROJECT)).encode() + b"\0" + path.read_bytes())
    return {"code": digest.hexdigest(), "torch": version("torch")}


# A worker imports this module with its first task, and its code stays that of this time.
versions()


def publish(origin: Origin) -> str:
    """Write how work is opened to data/cache/work, for all workers; return its digest."""
    content = {**origin._asdict(), "versions": versions()}
    digest = cache_key(content)
    write_json(WORK / f"{digest}.json", content)
    return digest


def run(digest: str, item: Any) -> Any:
    """Do a task in a worker.

    Args:
        digest: of the description, see `publish`.
        item: JSON values.

    Raises:
        ClusterError: this worker does not share the project's data or code.
    """
    with _Opened.lock:
        if _Opened.digest != digest or _Opened.work is None:
            _Opened.work, _Opened.digest = None, digest
            _Opened.work = _open(digest)
        import torch

        torch.set_num_threads(1)
        return _Opened.work(item, lambda done: None)


def _open(digest: str) -> Callable[[Any, Callable[[int], None]], Any]:
    content = _read(WORK / f"{digest}.json")
    own = versions()
    other = [name for name, value in content["versions"].items() if own[name] != value]
    if other:
        raise ClusterError(
            f"the worker on {socket.gethostname()} runs other versions than this process",
            file=PROJECT,
            value=", ".join(other),
            fix="start it again with this project and environment",
        )
    work: Callable[..., Any] = imported(content["opener"])(**content["description"])
    return work


def _read(path: Path) -> Any:
    """Read a description, which a shared folder may show late."""
    end = time.monotonic() + VISIBLE_SECONDS
    while not path.is_file():
        if time.monotonic() > end:
            raise ClusterError(
                f"the worker on {socket.gethostname()} does not share this project's data",
                file=path.absolute(),
                fix="start workers in the project's folder, or in a copy whose `data` is the same",
            )
        time.sleep(LOOK_SECONDS)
    return read_json(path)
