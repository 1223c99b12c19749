"""The flow `restyle`: photos of a folder or a bucket, in batches that run beside each other.

They run on this machine or on the workers of a Dask cluster. Each batch is one process of the
command `dualstylegan transfer`, which keeps results of the same recipe. Addresses are folders or
those of fsspec, such as s3://bucket/photos (extra `s3`).
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from fsspec.core import url_to_fs  # type: ignore[import-untyped]
from prefect import flow, get_run_logger, task, unmapped
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff
from pydantic import Field

from dualstylegan.errors import DataError, one_line
from flows.artifacts import StageProgress
from flows.processes import Children, Log, StageFailed, run_module
from flows.runs import (
    BACKOFF_SECONDS,
    FLOW,
    JITTER,
    worth_retrying,
)
from tasks.shared.at_once import Tick
from tasks.shared.mapping import Origin, opened_executor
from tasks.shared.settings import THREADS

PICTURES = frozenset(
    (".png", ".jpg", ".jpeg", ".webp", ".avif", ".heic", ".tif", ".tiff", ".bmp", ".gif")
)
CONTACT_SHEET = "contact-sheet.jpg"


@task(cache_policy=NO_CACHE, persist_result=False)
def list_photos(source: str) -> dict[str, str]:
    """Return the addresses of the photos in a folder by the beginnings of their results' names.

    Raises:
        DataError: there is none, or two would have results of the same name.
    """
    from dualstylegan.portrait.batch import result_stems

    files, folder = url_to_fs(source)
    entries = files.ls(folder, detail=True) if files.isdir(folder) else []
    found = []
    for name, entry in sorted((str(one["name"]), one) for one in entries):
        if PurePosixPath(name).suffix.lower() not in PICTURES:
            continue
        if _is_file(files, entry):
            found.append(name)
        else:
            get_run_logger().warning("not taken: %s: no file", one_line(name))
    if not found:
        raise DataError("no photos", file=source, fix="name a folder that holds some")
    stems = result_stems([Path(PurePosixPath(name)) for name in found])
    return dict(zip(stems, found, strict=True))


def _is_file(files: Any, entry: Mapping[str, Any]) -> bool:
    """Return True for files, and links to them, by the entry of a listing."""
    return entry["type"] == "file" or ("destination" in entry and bool(files.isfile(entry["name"])))


@task(
    task_run_name="{first} and {more} more",
    cache_policy=NO_CACHE,
    persist_result=False,
    retry_delay_seconds=exponential_backoff(BACKOFF_SECONDS),
    retry_jitter_factor=JITTER,
    retry_condition_fn=worth_retrying,
)
def restyle_batch(
    first: str,
    more: int,
    photos: Mapping[str, str],
    source: str,
    output: str,
    options: Sequence[str],
) -> list[str]:
    """Restyle some photos; return the names of their results.

    Args:
        first, more: name of the first photo and number of the others, for the task's name.
        photos, source, output, options: see `restyle_photos`.

    Raises:
        StageFailed: a photo cannot be restyled; the results of the others are there.
    """
    return restyle_photos(photos, source, output, options, get_run_logger())


def restyle_photos(
    photos: Mapping[str, str], source: str, output: str, options: Sequence[str], log: Log
) -> list[str]:
    """Restyle some photos by one process; return the names of their results.

    Args:
        photos: addresses by the beginnings of the results' names.
        source, output: folders of the photos and of the results.
        options: of `dualstylegan transfer`.
        log: of what the process says.

    Raises:
        StageFailed: a photo cannot be restyled; the results of the others are there.
    """
    files, _ = url_to_fs(source)
    results, target = url_to_fs(output)
    results.makedirs(target, exist_ok=True)
    there = {PurePosixPath(name).name for name in results.ls(target, detail=False)}
    with tempfile.TemporaryDirectory() as scratch:
        taken, made = Path(scratch, "photos"), Path(scratch, "results")
        taken.mkdir()
        made.mkdir()
        unread = []
        for stem, address in photos.items():
            try:
                files.get_file(address, str(taken / f"{stem}{PurePosixPath(address).suffix}"))
            except OSError as error:
                unread.append(f"{one_line(address)}: cannot be read: {error.strerror}")
                log.error("%s", unread[-1])
        for name in there:
            if any(name.startswith(f"{stem}_") for stem in photos):
                results.get_file(f"{target}/{name}", str(made / name))
        arguments = ["transfer", str(taken), *options, "-o", f"{made}/"]
        try:
            run_module("dualstylegan", arguments, Path.cwd(), log=log)
        finally:
            names = [path.name for path in sorted(made.iterdir()) if path.name != CONTACT_SHEET]
            for name in names:
                _put(results, made / name, f"{target}/{name}")
    if unread:
        raise StageFailed("\n".join(unread))
    return names


def _put(results: Any, path: Path, address: str) -> None:
    """Store a file whole: under another name first where the store can rename."""
    if "file" in results.protocol:
        part = f"{address}.part"
        results.put_file(str(path), part)
        results.mv(part, address)
    else:  # an object is there once it is whole
        results.put_file(str(path), address)


@task(task_run_name="{count} batches on {executor}", cache_policy=NO_CACHE, persist_result=False)
def restyle_on_cluster(
    count: int, executor: str, batches: Sequence[Mapping[str, str]], described: Mapping[str, Any]
) -> list[list[str]]:
    """Restyle batches on a Dask cluster; return the names of the results of each.

    Photos and results go from and to their folders, and not through the scheduler.

    Args:
        count: of the batches, for the task's name.
        executor: address of the scheduler.
        batches: addresses of photos by the beginnings of the results' names.
        described: source, output and options, see `restyle_photos`.

    Raises:
        ClusterError: the cluster is lost, has no workers, or runs other code.
        StageFailed: photos cannot be restyled; the results of the others are there.
    """
    items = [list(map(list, batch.items())) for batch in batches]
    origin = Origin(f"{__name__}:open_restyling", described)
    shown = StageProgress("restyle")

    def progress(done: int) -> None:
        get_run_logger().info("restyle: %d/%d batches", done, count)
        shown.show(100.0 * done / count, f"restyle: {done}/{count} batches")

    made, failed = [], []
    with opened_executor(executor) as spread:
        work = open_restyling(**described)
        for _, (names, error) in spread(work, origin, items, progress, 1, 1):
            made.append(names)
            failed += [error] if error else []
    if failed:
        raise StageFailed("\n".join(failed))
    return made


def open_restyling(
    source: str, output: str, options: Sequence[str]
) -> Callable[[Sequence[tuple[str, str]], Tick], tuple[list[str], str]]:
    """Return a function that restyles a batch in a worker of the cluster.

    It returns the names of the results, and why photos have none.
    """
    log = logging.getLogger("dualstylegan")

    def work(batch: Sequence[tuple[str, str]], tick: Tick) -> tuple[list[str], str]:
        try:
            return restyle_photos(dict(batch), source, output, options, log), ""
        except StageFailed as error:
            return [], str(error)

    return work


@flow(
    name="restyle",
    flow_run_name="restyle-{source}",
    **FLOW,
)
def restyle(
    source: str,
    output: str,
    styles: list[str],
    model: str | None = None,
    options: list[str] | None = None,
    batch: Annotated[int, Field(ge=1, le=1000)] = 16,
    executor: str = THREADS,
    retries: Annotated[int, Field(ge=0, le=10)] = 1,
) -> dict[str, Any]:
    """Restyle every photo of a folder or a bucket.

    Args:
        source: folder of the photos.
        output: folder of the results.
        styles: names, or mixes such as `a:0.6`.
        model: as `dualstylegan transfer --model` takes it; by default the project's.
        options: more options of `dualstylegan transfer`, such as `--size`, `1024`.
        batch: photos per process.
        executor: `threads` of this machine, or the address of a Dask scheduler, whose workers
            reach both folders and the model.
        retries: attempts after a failed one, per batch; a cluster gives the batch of a lost worker
            to another.

    Returns:
        Number of photos and results, and seconds.

    Raises:
        DataError: no photos.
        StageFailed: photos of a batch cannot be restyled; all others have been.
    """
    start = time.monotonic()
    try:
        photos = list(list_photos(source).items())
        given = [part for style in styles for part in ("--style", style)]
        given += (["--model", model] if model else []) + list(options or [])
        batches = [dict(photos[at : at + batch]) for at in range(0, len(photos), batch)]
        if executor == THREADS:
            futures = restyle_batch.with_options(
                retries=retries, retry_delay_seconds=exponential_backoff(BACKOFF_SECONDS)
            ).map(
                first=[one_line(next(iter(one))) for one in batches],
                more=[len(one) - 1 for one in batches],
                photos=batches,
                source=unmapped(source),
                output=unmapped(output),
                options=unmapped(given),
            )
            made = futures.result()
        else:
            described = {"source": source, "output": output, "options": given}
            made = restyle_on_cluster(len(batches), executor, batches, described)
        results = sum(map(len, made))
    except Exception:
        raise
    except BaseException:  # a signal
        Children.end()
        raise
    seconds = round(time.monotonic() - start, 1)
    get_run_logger().info("%d photos, %d results, %.1f s", len(photos), results, seconds)
    return {"photos": len(photos), "results": results, "seconds": seconds}
