"""One pipeline in two folders that share Prefect's server and a DVC remote alone."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.states import Cancelling

from flows.graph import Step, plan
from flows.handover import code_digest
from flows.machines import batches
from tests.flows.test_doors import wait_for
from tests.support.standin import HERE, Project, free_port

PREFECT = ("-m", "prefect")
NEEDS = {
    "align": frozenset[str](),
    "invert": frozenset({"align"}),
    "adapt": frozenset({"invert"}),
    "sampler": frozenset({"invert"}),
    "package": frozenset({"adapt", "sampler"}),
    "report": frozenset({"package"}),
}


def named(steps: list[tuple[bool, list[Step]]]) -> list[tuple[bool, list[str]]]:
    return [(there, [step.name for step in group]) for there, group in steps]


def test_steps_change_the_machine_as_seldom_as_their_order_allows() -> None:
    every = plan(NEEDS, dict.fromkeys(NEEDS, ()), NEEDS)
    assert named(list(batches(every))) == [
        (False, ["align"]),
        (True, ["invert", "adapt"]),
        (False, ["sampler"]),
        (True, ["package"]),
        (False, ["report"]),
    ]
    late = plan(NEEDS, dict.fromkeys(NEEDS, ()), ["package"])
    assert named(list(batches(late))) == [(True, ["package"]), (False, ["report"])]
    assert list(batches(plan(NEEDS, dict.fromkeys(NEEDS, ()), []))) == []


def test_other_code_or_settings_are_another_digest(tmp_path: Path) -> None:
    first, second = Project(tmp_path / "one"), tmp_path / "two"
    first.write()
    shutil.copytree(first.folder, second)
    assert code_digest(first.folder) == code_digest(second)
    (second / "params.yaml").write_bytes(
        (second / "params.yaml").read_bytes().replace(b"\n", b"\r\n")
    )
    assert code_digest(first.folder) == code_digest(second)
    (second / "tasks").mkdir()
    (second / "tasks/new.py").write_text("pass\n")
    assert code_digest(first.folder) != code_digest(second)


@pytest.fixture
def here(tmp_path: Path) -> Project:
    """A project whose stages `left` and `right` are named after ones of the GPU's machine."""
    made = Project(tmp_path / "here")
    made.write()
    for name in ("dvc.yaml", "params.yaml"):
        path = made.folder / name
        path.write_text(path.read_text().replace("left", "adapt").replace("right", "finetune"))
    made.run("-m", "dvc", "remote", "add", "-q", "store", str(tmp_path / "store"))
    shutil.copytree(HERE / "flows", made.folder / "flows")
    return made


def clone(project: Project, folder: Path) -> Project:
    """Copy what git would have."""
    made = Project(folder)
    for name in ("dvc.yaml", "params.yaml", "step.py", ".dvc/config", "flows"):
        source, target = project.folder / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    made.env |= {k: v for k, v in project.env.items() if k.startswith("PREFECT")}
    return made


@contextmanager
def workers(here: Project, there: Project) -> Iterator[None]:
    """A server with both deployments, and a worker in each of the folders."""
    port = free_port()
    with ExitStack() as stack:
        for project in (here, there):
            project.env["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
        server = (*PREFECT, "server", "start", "--host", "127.0.0.1", "--port", str(port))
        stack.enter_context(here.daemon(*server))
        wait_for(f"http://127.0.0.1:{port}/api/health")
        for pool in ("cpu", "gpu"):
            here.run(*PREFECT, "work-pool", "create", pool, "--type", "process")
        file = ("--prefect-file", "flows/machines.yaml")
        here.run(*PREFECT, "--no-prompt", "deploy", "--all", *file)
        for project, pool in ((here, "cpu"), (there, "gpu")):
            project.env["DUALSTYLEGAN_PROJECT"] = str(project.folder)
            stack.enter_context(project.daemon(*PREFECT, "worker", "start", "--pool", pool))
        yield


@pytest.mark.long
def test_two_folders_share_a_pipeline_by_remote_and_server(here: Project, tmp_path: Path) -> None:
    there = clone(here, tmp_path / "there")
    run = (*PREFECT, "deployment", "run", "machines/pipeline", "--param", "remote=store", "--watch")
    with workers(here, there):
        here.run(*run)
        assert (sorted(here.ran()), sorted(there.ran())) == (
            ["join", "seed"],
            ["adapt", "finetune"],
        )
        assert here.result() == "seed1;adapt1;seed1;finetune1;join1;"
        here.run("-m", "dvc", "repro", "-q")
        assert (here.ran(), there.ran()) == ([], [])
        assert not (there.folder / "dvc.lock").exists()  # git's, as it was

        (here.folder / "params.yaml").write_text("seed: 1\nadapt: 2\nfinetune: 1\njoin: 1\n")
        here.run(*run, code=1)  # the other folder has other settings
        assert (here.ran(), there.ran()) == ([], [])
        shutil.copy(here.folder / "params.yaml", there.folder)
        (there.folder / "fail-adapt").touch()
        here.run(*run)  # tried again there
        assert (sorted(here.ran()), there.ran()) == (["join"], ["adapt", "adapt"])
        assert here.result() == "seed1;adapt2;seed1;finetune1;join1;"


def running(stage: str) -> bool:
    """Return True while a process works on a stage."""
    return any(
        ["step.py", stage] == command[1:3]
        for process in psutil.process_iter(["cmdline"])
        if (command := process.info["cmdline"])
    )


def until(true: Callable[[], object], seconds: float = 90) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.2)


@pytest.mark.long
def test_a_cancelled_pipeline_ends_what_it_has_begun_there(here: Project, tmp_path: Path) -> None:
    there = clone(here, tmp_path / "there")
    (there.folder / "hold-adapt").touch()
    run = (*PREFECT, "deployment", "run", "machines/pipeline", "--param", "remote=store")
    with workers(here, there):
        here.run(*run)
        until(lambda: running("adapt"), 150)
        with SyncPrefectClient(here.env["PREFECT_API_URL"]) as client:
            named = FlowFilter(name=FlowFilterName(any_=["machines"]))
            (asked,) = client.read_flow_runs(flow_filter=named)
            client.set_flow_run_state(asked.id, Cancelling())
            until(lambda: not running("adapt"))

            def ended() -> bool:
                return all(one.state and one.state.is_final() for one in client.read_flow_runs())

            until(ended)
    assert "join" not in [*here.ran(), *there.ran()]
