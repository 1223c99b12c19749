"""dvc.yaml fits the project: modules, settings and code agree with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from dualstylegan.settings import Settings

ROOT = Path(__file__).parents[2]
STAGES: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def test_every_section_is_a_stage_or_the_profile() -> None:
    sections = {field.alias or name for name, field in Settings.model_fields.items()}
    assert sections == {*STAGES, "profile"}


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
