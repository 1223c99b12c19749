"""Dask cluster on loopback, of real schedulers and workers that share a folder `data`."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dualstylegan.errors import ClusterError
from tasks.shared import cluster
from tasks.shared.caching import Entry
from tasks.shared.mapping import mapped
from tasks.shared.settings import Settings
from tests.reliability.running import running, shell_code
from tests.support.counted import LOG, CountedLetters, letters_of, told
from tests.support.dask_cluster import SECONDS, Cluster, until
from tests.support.settings import shipped


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def started(folder: None) -> Iterator[Cluster]:
    started = Cluster()
    try:
        started.answer()
        yield started
    finally:
        started.stop()


def on(address: str) -> Settings:
    """Settings whose executor is a cluster."""
    settings = shipped()
    runtime = settings.runtime.model_copy(update={"executor": address})
    return settings.model_copy(update={"runtime": runtime})


def digested(names: list[str], settings: Settings | None = None) -> list[Entry]:
    return list(mapped(CountedLetters(), names, settings))


def test_workers_make_what_threads_make_and_nothing_twice(started: Cluster) -> None:
    workers = {started.worker().pid, started.worker().pid}
    names = letters_of("abcdef", seconds=0.3)
    entries = digested(names, on(started.address))
    assert sorted(name for name, _ in told(LOG[1])) == names
    assert {pid for _, pid in told(LOG[1])} <= workers
    assert digested(names, on(started.address)) == entries
    assert len(told(LOG[1])) == len(names)
    for path in Path("data/cache/letters").iterdir():
        path.unlink()
    assert digested(names) == entries
    assert told(LOG[1])[-1][1] == os.getpid()


def test_an_address_where_nothing_answers_is_refused_before_the_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.5)
    with pytest.raises(ClusterError, match=r"no Dask scheduler answers; found: tcp://127.0.0.1:1;"):
        digested(letters_of("ab"), on("tcp://127.0.0.1:1"))
    assert not told(LOG[0])


def test_a_cluster_without_workers_is_said(
    started: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "WORKERS_SECONDS", 0.5)
    with pytest.raises(ClusterError, match=r"has no workers.*fix: start `dask worker"):
        digested(letters_of("ab"), on(started.address))


@pytest.mark.long
def test_a_killed_worker_costs_its_picture_and_a_late_one_helps(started: Cluster) -> None:
    killed, other = started.worker(), started.worker()
    names = letters_of("abcdefghijkl", seconds=1.0)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(digested, names, on(started.address))
        until(lambda: killed.pid in {pid for _, pid in told(LOG[0])})
        killed.send_signal(signal.SIGKILL)
        late = started.worker()
        entries = asked.result(SECONDS)
    assert [entry.facts["letter"] for entry in entries] == names
    begun, done = told(LOG[0]), told(LOG[1])
    assert sorted(name for name, _ in done) == names
    assert len(begun) <= len(names) + 1
    assert {other.pid, late.pid} <= {pid for _, pid in done}


@pytest.mark.long
def test_a_lost_scheduler_ends_the_work_in_a_sentence(started: Cluster) -> None:
    started.worker()
    names = letters_of("abcdefgh", seconds=0.5)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(digested, names, on(started.address))
        until(lambda: told(LOG[1]))
        started.processes[0].kill()
        with pytest.raises(ClusterError, match="connection to the Dask scheduler is lost"):
            asked.result(SECONDS)
    kept = len(list(Path("data/cache/letters").glob("*.json")))
    assert 1 <= kept < len(names)


STAGE = """
import sys
from dualstylegan.io.stopping import end_on_signals
end_on_signals("letters: stopped")
from tasks.shared.runner import run_stage
from tests.support.counted import CountedLetters
from tests.tasks.shared.test_cluster import digested, on
address, *names = sys.argv[1:]
run_stage("letters", lambda: digested(names, on(address)))
"""


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_stage_leaves_its_workers_free_and_goes_on(
    started: Cluster, number: int, tmp_path: Path
) -> None:
    worker = started.worker()
    names = letters_of("abcdefgh", seconds=1.0)
    arguments = ["-c", STAGE, started.address, *names]
    with running(arguments, tmp_path) as run:
        run.wait_until(lambda: told(LOG[1]))
        ended = run.send(number, group=True)
    assert (ended.code, ended.left) == (shell_code(number), 0), ended
    assert ended.seconds < 5
    said = [line for line in ended.errors.splitlines() if not line.startswith("letters: 1/8")]
    assert said == ["letters: stopped"]
    time.sleep(2.5)
    begun = len(told(LOG[0]))
    time.sleep(2.5)
    assert len(told(LOG[0])) == begun < len(names)  # nothing more is begun
    assert worker.poll() is None
    assert [entry.facts["letter"] for entry in digested(names, on(started.address))] == names
    assert sorted(name for name, _ in told(LOG[1])) == names
