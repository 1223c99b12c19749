"""The flows on one real server: states, artifacts, retries, forms, and what they return."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import TaskRun
from prefect.settings import PREFECT_API_URL
from prefect.testing.utilities import prefect_test_harness
from prefect.utilities.callables import parameter_schema

from dualstylegan.errors import ClusterError, DataError, SettingsError
from dualstylegan.io.images import write_png
from flows.enrol import enrol
from flows.graph import SET_SIGN, stage_names
from flows.handover import code_digest
from flows.machines import machines, stages
from flows.parameters import Overrides, given_settings
from flows.portrait import portrait
from flows.processes import StageFailed
from flows.restyle import restyle
from flows.sets import sets
from tests.support.dask_cluster import Cluster
from tests.support.portrait_models import tiny_model
from tests.support.standin import HERE, Project

SETS = """
stages:
  paint:
    foreach: ${sets}
    do:
      cmd: python step.py ${key}
      deps:
        - step.py
      params:
        - sets.${key}
      outs:
        - out/${key}
  gallery:
    cmd: python step.py gallery out/a out/b
    deps:
      - out/a
      - out/b
    outs:
      - out/gallery
"""


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = Project(tmp_path / "project")
    made.write()
    for name in ("PYTHONPATH", "DVC_NO_ANALYTICS"):
        monkeypatch.setenv(name, made.env[name])
    return made


def task_runs() -> dict[str, TaskRun]:
    """Return the task runs of the newest flow run by name."""
    with get_client(sync_client=True) as client:
        newest = max(client.read_flow_runs(), key=lambda run: str(run.created))
        runs = client.read_task_runs()
    return {run.name: run for run in runs if run.flow_run_id == newest.id}


def test_due_stages_run_and_the_others_are_cached(project: Project) -> None:
    first = portrait(folder=str(project.folder))
    assert set(first["made"]) == {"seed", "left", "right", "join"}
    assert sorted(project.ran()) == ["join", "left", "right", "seed"]
    project.set(seed=1, left=2, right=1, join=1)
    second = portrait(folder=str(project.folder))
    assert (set(second["made"]), second["up_to_date"]) == ({"left", "join"}, ["seed", "right"])
    assert project.ran() == ["left", "join"]
    assert project.result() == "seed1;left2;seed1;right1;join1;"
    states = {name: str(run.state_name) for name, run in task_runs().items()}
    assert {name: states[name] for name in ("seed", "left", "right", "join")} == {
        "seed": "Cached",
        "right": "Cached",
        "left": "Completed",
        "join": "Completed",
    }
    project.run("-m", "dvc", "repro", "-q")
    assert project.ran() == []


def test_a_failure_is_tried_again_and_a_refusal_is_not(project: Project) -> None:
    (project.folder / "fail-left").touch()
    assert "left" in portrait(folder=str(project.folder), retries=1)["made"]
    assert project.ran().count("left") == 2
    project.set(seed=1, left=1, right=5, join=1)
    step = (project.folder / "step.py").read_text()
    trap = "if name == 'right':\n    print('refused'); sys.exit(2)\n"
    (project.folder / "step.py").write_text(step.replace("out = path", trap + "out = path"))
    (project.folder / "step.py").write_text(step.replace("print(", trap + "print("))
    with pytest.raises(StageFailed, match="failed: right; not done: right, join") as failed:
        portrait(folder=str(project.folder), retries=2)
    assert "refused" in str(failed.value)
    assert project.ran().count("right") == 1


def test_style_sets_are_runs_of_their_own(project: Project) -> None:
    (project.folder / "dvc.yaml").write_text(SETS.lstrip("\n"))
    content = {"sets": {"a": {"x": 1}, "b": {"x": 2}}, "a": 1, "b": 2, "gallery": 3}
    (project.folder / "params.yaml").write_text(json.dumps(content))
    assert [n for n in stage_names(project.folder) if SET_SIGN in n] == ["paint@a", "paint@b"]
    done = sets(folder=str(project.folder))
    assert {name: list(one["made"]) for name, one in done.items()} == {
        "a": ["paint@a"],
        "b": ["paint@b"],
        "gallery": ["gallery"],
    }
    assert portrait(targets=None, folder=str(project.folder))["made"] == {}


def test_progress_and_pictures_are_replaced_and_do_not_pile_up(project: Project) -> None:
    code = (
        "import pathlib, sys\n"
        "from PIL import Image\n"
        "for i in range(4): print(f'draw: {i}/3 steps (0:00, 0:00 left)')\n"
        "out = pathlib.Path('out/drawn'); out.mkdir(parents=True, exist_ok=True)\n"
        "Image.new('RGB', (8, 8), sys.argv[1]).save(out / 'picture.png')\n"
    )
    (project.folder / "draw.py").write_text(code)
    stage = "stages:\n  draw:\n    cmd: python draw.py {}\n    outs:\n      - out/drawn\n"
    for color in ("red", "blue"):
        (project.folder / "dvc.yaml").write_text(stage.format(color))
        portrait(folder=str(project.folder))
    with get_client(sync_client=True) as client:
        artifacts = client.read_artifacts()
    shown = [one for one in artifacts if one.key in ("stage-draw", "progress-draw")]
    assert sorted(str(one.key) for one in shown) == ["progress-draw", "stage-draw"]
    values = {one.key: one.data for one in shown}
    assert values["progress-draw"] == 100
    assert "data:image/jpeg;base64," in str(values["stage-draw"])


def test_the_form_offers_stages_sets_and_settings() -> None:
    schema = parameter_schema(portrait).model_dump()
    told = json.dumps(schema)
    for word in ("evaluate@demo", "finetune", "gallery"):
        assert f'"{word}"' in told
    with pytest.raises(SettingsError, match="nosuch"):
        portrait(targets=["nosuch"])
    given = Overrides.model_validate({"finetune": {"steps": 120}, "register": {"measure": None}})
    assert given_settings(given) == {"finetune": {"steps": 120}}


def test_photos_are_restyled_in_batches_and_kept(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUALSTYLEGAN_WEIGHTS", str(weights))
    model = tiny_model(resolution=256)
    model.weights_dir = weights
    model.save_pretrained(tmp_path / "model")
    photos = tmp_path / "photos"
    photos.mkdir()
    with Image.open(weights / "astronaut.png") as image:
        for name in ("a.png", "b.png", "c.png"):
            image.convert("RGB").resize((160, 160)).save(photos / name)
    (photos / "folder.png").mkdir()
    (photos / "loop.png").symlink_to("loop.png")
    (photos / "nowhere.png").symlink_to("absent.png")
    os.mkfifo(photos / "pipe.png")
    (photos / "b.png").rename(photos / "kept.b")
    (photos / "b.png").symlink_to("kept.b")
    given: dict[str, Any] = {
        "source": str(photos),
        "output": f"file://{tmp_path / 'out'}",
        "styles": [model.styles.names[0]],
        "model": str(tmp_path / "model"),
        "options": ["--size", "256", "--fit-steps", "0"],
        "batch": 2,
    }
    done = restyle(**given)
    assert (done["photos"], done["results"]) == (3, 3)
    made = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert len(made) == 3
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    (photos / "b.png").unlink()
    with pytest.raises(DataError, match="no photos"):
        restyle(**given | {"source": str(tmp_path / "model" / "thumbnails" / "none")})
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == times


@pytest.mark.long
def test_photos_are_restyled_on_a_cluster_as_on_this_machine(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUALSTYLEGAN_WEIGHTS", str(weights))
    monkeypatch.chdir(tmp_path)
    model = tiny_model(resolution=256)
    model.save_pretrained("model")
    for number, size in enumerate((150, 160, 170)):
        with Image.open(weights / "astronaut.png") as image:
            write_png(Path("photos", f"{number}.png"), image.convert("RGB").resize((size, size)))
    given: dict[str, Any] = {
        "source": "photos",
        "styles": [model.styles.names[0]],
        "model": "model",
        "options": ["--size", "256", "--fit-steps", "0"],
        "batch": 2,
    }
    cluster = Cluster()
    try:
        cluster.answer()
        cluster.worker()
        done = restyle(**given, output="there", executor=cluster.address)
        assert (done["photos"], done["results"]) == (3, 3)
        Path("photos/sky.png").write_bytes(b"no picture")
        with pytest.raises(StageFailed, match=r"sky\.png"):
            restyle(**given, output="there", executor=cluster.address)
        Path("photos/sky.png").unlink()
    finally:
        cluster.stop()
    restyle(**given, output="here")
    here, there = ({p.name: p.read_bytes() for p in Path(x).iterdir()} for x in ("here", "there"))
    assert len(here) == 3
    assert here == there
    with pytest.raises(ClusterError, match="no Dask scheduler answers"):
        restyle(**given, output="there", executor="tcp://127.0.0.1:1")


def test_what_cannot_be_enrolled_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "portraits").mkdir()
    with pytest.raises(DataError, match="no portraits"):
        enrol(str(tmp_path / "portraits"), str(tmp_path / "model"))
    Image.new("RGB", (64, 64)).save(tmp_path / "portraits/one.png")
    with pytest.raises(DataError, match="exists already"):
        enrol(str(tmp_path / "portraits"), str(tmp_path))


def test_deployment_runs_on_a_worker(project: Project) -> None:
    """Deployed and run by the commands of docs/howto/schedule.md; the pool is Prefect's own."""
    project.env["PREFECT_API_URL"] = PREFECT_API_URL.value()
    (project.folder / "flows").mkdir()
    for path in (HERE / "flows").glob("*.py"):
        shutil.copy(path, project.folder / "flows")
    shutil.copy(HERE / "prefect.yaml", project.folder)
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="local", type="process"))
        project.run("-m", "prefect", "--no-prompt", "deploy", "--all")
        asked = client.create_flow_run_from_deployment(
            client.read_deployment_by_name("portrait/embedded").id
        )
        project.run("-m", "prefect", "worker", "start", "--pool", "local", "--run-once")
        assert client.read_flow_run(asked.id).state_name == "Completed"
    assert sorted(project.ran()) == ["join", "left", "right", "seed"]
    assert project.result() == "seed1;left1;seed1;right1;join1;"
    project.run("-m", "dvc", "repro", "-q")
    assert project.ran() == []


def test_a_stage_after_one_that_makes_the_same_again_is_cached(project: Project) -> None:
    project.run("-m", "dvc", "repro", "-q")
    project.ran()
    project.set(seed=1, left=1, right=1, join=1)
    params = project.folder / "params.yaml"
    params.write_text(params.read_text().replace("seed: 1", "seed: '1'"))
    done = portrait(folder=str(project.folder))
    assert list(done["made"]) == project.ran() == ["seed"]
    assert sorted(done["up_to_date"]) == ["join", "left", "right"]


def test_a_folder_with_other_code_runs_no_steps_for_another(project: Project) -> None:
    with pytest.raises(SettingsError, match="other code or settings than the one that asks"):
        stages(["left"], lock="", code="0" * 64, remote="store", folder=str(project.folder))
    assert project.ran() == []
    assert not (project.folder / "dvc.lock").exists()


def test_a_pipeline_without_a_machine_to_hand_to_says_what_to_deploy(project: Project) -> None:
    path = project.folder / "dvc.yaml"
    path.write_text(path.read_text().replace("left", "adapt"))
    params = project.folder / "params.yaml"
    params.write_text(params.read_text().replace("left", "adapt"))
    store = project.folder.parent / "store"
    project.run("-m", "dvc", "remote", "add", "-q", "store", str(store))
    with pytest.raises(SettingsError, match=r"no such deployment; found: stages/gpu; fix: prefect"):
        machines("store", folder=str(project.folder))


def test_steps_run_for_another_folder_leave_its_lock_as_it_was(project: Project) -> None:
    store = project.folder.parent / "store"
    project.run("-m", "dvc", "remote", "add", "-q", "store", str(store))
    project.run("-m", "dvc", "repro", "-q", "seed")
    lock = project.folder / "dvc.lock"
    before, asked = lock.read_text(), code_digest(project.folder)
    project.ran()
    made = stages(["left"], before, asked, "store", folder=str(project.folder))
    assert list(made) == project.ran() == ["left"]
    assert lock.read_text() == before
    assert any(store.rglob("*"))


def test_the_samples_are_what_prefect_takes() -> None:
    """`prefect.yaml` is deployed above."""
    import yaml
    from prefect.events.schemas.automations import AutomationCore

    path = Path(__file__).parents[2] / "flows/automations.yaml"
    for one in yaml.safe_load(path.read_text())["automations"]:
        assert not AutomationCore.model_validate(one).enabled


def test_the_command_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "dualstylegan", "--version"]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert told.stdout.startswith("dualstylegan ")
