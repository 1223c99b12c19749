"""dvc.yaml fits the project: modules, settings and code agree with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.shared.settings import Settings

ROOT = Path(__file__).parents[2]
STAGES: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def test_every_section_is_a_stages_or_shared() -> None:
    sections = {field.alias or name for name, field in Settings.model_fields.items()}
    assert sections == {*STAGES, "profile", "runtime"} - {"download"}


@pytest.mark.parametrize("name", STAGES)
def test_stage_runs_its_module_and_depends_on_it(name: str) -> None:
    stage = STAGES[name]
    assert stage["cmd"] == f"python -m tasks.{name}"
    code = [dep for dep in stage["deps"] if not dep.startswith(("data/", "${"))]
    assert f"tasks/{name}.py" in code
    assert [path for path in code if not (ROOT / path).exists()] == []
    assert name == "download" or name in stage["params"]


def test_deps_that_are_data_are_made_by_a_stage_or_ship() -> None:
    made = {"data/base"}
    for stage in STAGES.values():
        for out in [*stage["outs"], *stage.get("metrics", [])]:
            made.add(out if isinstance(out, str) else next(iter(out)))
    used = {dep for stage in STAGES.values() for dep in stage["deps"] if dep.startswith("data/")}
    assert used <= made


BASE: dict[str, Any] = yaml.safe_load((ROOT / "data/base/dvc.yaml").read_text())["stages"]


def test_the_base_models_have_a_pipeline_whose_stages_all_run() -> None:
    from tasks.base.__main__ import STAGES as COMMANDS

    assert set(BASE) == set(COMMANDS)
    made: set[str] = set()
    for name, stage in BASE.items():
        assert stage["cmd"] == f"python -m tasks.base {name}"
        outs = [*stage.get("outs", []), *stage.get("metrics", [])]
        made |= {next(iter(out)) for out in outs}
        code = [dep for dep in stage["deps"] if not dep.startswith("data/")]
        assert [path for path in code if not (ROOT / path).exists()] == []
    used = {dep for stage in BASE.values() for dep in stage["deps"] if "cache" in dep}
    assert used <= made


def test_base_settings_are_read_and_bounded(tmp_path: Path) -> None:
    from dualstylegan.errors import SettingsError
    from tasks.base.settings import BaseSettings
    from tasks.shared.settings import read_settings

    path = ROOT / "data/base/params.yaml"
    settings = read_settings(BaseSettings, path)
    assert settings.chosen is settings.cpu
    wrong = tmp_path / "params.yaml"
    wrong.write_text(path.read_text().replace("batch: 12", "batch: 0"))
    with pytest.raises(SettingsError, match=r"cpu\.encoder\.batch"):
        read_settings(BaseSettings, wrong)


def test_the_main_graph_does_not_train_the_base_models() -> None:
    from flows.graph import read_graph

    assert {step.name for step in read_graph(ROOT)} == set(STAGES)
