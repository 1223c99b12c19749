"""Environment and fixtures that all tests share: one thread per process, and the pinned weights."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Set before torch is imported, and inherited by every process that a test starts. Two workers with
# a thread per core each wait for one another more than they compute.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
ENVIRONMENT = {
    **dict.fromkeys(THREADS, "1"),
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}
# Files whose tests take longest, by servers and exports of their own. They begin first: begun last,
# one would keep one worker busy while the other has nothing left.
FIRST = (
    "tests/tasks/test_register.py",
    "tests/flows/test_flows.py",
    "tests/dualstylegan/web/test_export.py",
)
for name, value in ENVIRONMENT.items():
    os.environ.setdefault(name, value)
# A shell starts what it runs in the background with signals ignored, and children inherit that:
# tests that stop processes would wait for ever.
if threading.current_thread() is threading.main_thread():
    for number, handler in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGHUP, signal.SIG_DFL),
    ):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of `FIRST` first."""
    items.sort(key=lambda item: not item.nodeid.startswith(FIRST))


@pytest.fixture(scope="session")
def weights() -> Path:
    """Return data/weights, downloaded and converted unless complete; one worker at a time."""
    from tasks.weights.downloads import fetch_all

    cache, out = ROOT / "data" / "cache" / "downloads", ROOT / "data" / "weights"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "tests.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        fetch_all(cache, out)
    return out


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return MLflow's database without a run, to copy: its migrations take a second each time."""
    from mlflow.store.db.utils import _initialize_tables, create_sqlalchemy_engine

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    engine = create_sqlalchemy_engine(f"sqlite:///{path}")  # type: ignore[no-untyped-call]
    _initialize_tables(engine)  # type: ignore[no-untyped-call]
    engine.dispose()
    return path
