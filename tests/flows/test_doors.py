"""Three doors to one graph: each skips what another has done."""

from __future__ import annotations

import shutil
import time
import urllib.request
from pathlib import Path

import pytest

from dualstylegan.errors import SettingsError
from flows.graph import plan, read_graph
from tests.support.standin import Project

FLOW = ("-m", "flows.portrait")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / "project")
    made.write()
    return made


def test_plan_orders_stages_and_spreads_staleness() -> None:
    needs = {"a": frozenset[str](), "b": frozenset({"a"}), "c": frozenset({"b"})}
    steps = plan({**needs, "x": frozenset()}, dict.fromkeys([*needs, "x"], ()), ["b"])
    assert [(s.name, s.due) for s in steps] == [
        ("a", False),
        ("b", True),
        ("c", True),
        ("x", False),
    ]
    assert [s.name for s in plan(needs, dict.fromkeys(needs, ()), [], ["b"])] == ["a", "b"]


def test_an_unknown_stage_is_refused_before_prefect_starts(project: Project) -> None:
    start = time.monotonic()
    said = project.run(*FLOW, "join", "nosuch", code=2)
    assert "portrait: SettingsError: dvc.yaml: no such stage; found: nosuch" in said
    assert "limit: join, left, right, seed" in said
    assert time.monotonic() - start < 2
    assert not (project.folder.parent / "prefect").exists()
    assert project.ran() == []
    with pytest.raises(SettingsError, match="nosuch"):  # a deployment comes by the graph alone
        read_graph(project.folder, ["nosuch"])


@pytest.mark.long
def test_a_run_of_its_own_ends_with_the_code_of_its_stages(project: Project) -> None:
    """Two runs by real doors; all else of the flow is tested in test_flows.py, on one server."""
    (project.folder / "fail-left").touch()
    said = project.run(*FLOW, "--retries", "0", code=1)
    assert "failed: left; not done: left, join" in said
    assert sorted(project.ran()) == ["left", "right", "seed"]
    assert "portrait: 2 steps, all up to date" in project.run(*FLOW, "right")
    assert project.ran() == []


def test_push_and_pull_restore_a_clone(project: Project, tmp_path: Path) -> None:
    store = tmp_path / "store"
    project.run("-m", "dvc", "remote", "add", "-q", "-d", "store", str(store))
    project.run("-m", "dvc", "repro", "-q")
    project.run("-m", "dvc", "push", "-q", "--run-cache")
    project.ran()
    clone = Project(tmp_path / "clone")
    kept = ("dvc.yaml", "dvc.lock", "params.yaml", "step.py", ".dvc/config")
    for name in kept:
        (clone.folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(project.folder / name, clone.folder / name)
    clone.run("-m", "dvc", "pull", "-q", "--run-cache")
    assert clone.result() == project.result()
    clone.run("-m", "dvc", "repro", "-q")
    assert clone.ran() == []


def wait_for(address: str, seconds: float = 90) -> None:
    """Wait until an address answers."""
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.3)
