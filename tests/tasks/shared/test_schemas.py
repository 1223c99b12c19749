"""Schemas for editors: they are those of the settings, and refuse what the pipeline refuses."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tasks.shared import schemas
from tests.conftest import ROOT

NAMED = re.compile(r"# yaml-language-server: \$schema=(\S+)\n")
FILES = [ROOT / "params.yaml", ROOT / "tasks/base/params.yaml", *(ROOT / "profiles").glob("*.yaml")]


def schema_named_in(path: Path) -> Any:
    """Return the schema that the first line of a file names."""
    named = NAMED.match(path.read_text())
    assert named, path
    return json.loads((path.parent / named[1]).read_text())


def complaints(schema: Any, content: Any) -> list[str]:
    """Return the settings of which an editor would complain."""
    checked = jsonschema.Draft202012Validator(schema)
    return [".".join(map(str, error.absolute_path)) for error in checked.iter_errors(content)]


def test_the_files_are_those_of_the_settings() -> None:
    for path, text in schemas.schemas().items():
        assert path.read_text() == text, "run `python -m tasks.shared.schemas`"
    assert {*schemas.FOLDER.iterdir()} == {*schemas.schemas()}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_an_editor_finds_no_fault_in_the_files(path: Path) -> None:
    schema = schema_named_in(path)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert complaints(schema, yaml.safe_load(path.read_text())) == []


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("finetune", "rate", 0.0),
        ("finetune", "steps", "many"),
        ("finetune", "stepps", 3),
        ("profile", "working_size", 100),
        ("register", "guard", ["kid"]),
        ("runtime", "picture_steps", {"adapt": -1, "finetune": 1}),
        ("portraits", "styles", 0),
    ],
)
def test_an_editor_marks_what_the_pipeline_refuses(section: str, name: str, value: Any) -> None:
    content = copy.deepcopy(yaml.safe_load((ROOT / "params.yaml").read_text()))
    content[section][name] = value
    found = complaints(schemas.params_schema(), content)
    assert found
    assert all(where.startswith(section) for where in found)
    assert complaints(schemas.profile_schema(), {section: {name: value}})


def test_only_params_must_be_whole() -> None:
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    del content["refine"]["steps"]
    assert complaints(schemas.params_schema(), content) == ["refine"]
    assert complaints(schemas.profile_schema(), content) == []


def test_every_setting_says_what_it_means() -> None:
    described = schemas.params_schema()
    for name, section in described["$defs"].items():
        for key, node in section["properties"].items():
            assert node.get("description") or "$ref" in node, f"{name}.{key}"
