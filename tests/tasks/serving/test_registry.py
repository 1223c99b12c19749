"""Registered models as folders for the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualstylegan.errors import CheckpointError
from dualstylegan.portrait.stores import find_model
from tasks.serving.artifacts import portrait_folder
from tasks.serving.registry import project_model
from tasks.shared.paths import PROJECT, Paths


def test_a_folder_stays_a_folder(tmp_path: Path) -> None:
    assert find_model(str(tmp_path)) == tmp_path


def test_the_projects_own_model_is_the_default_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DUALSTYLEGAN_MODEL", raising=False)
    assert find_model() == project_model() == PROJECT / Paths.portrait
    Paths.portrait.mkdir(parents=True)
    assert find_model() == Paths.portrait
    monkeypatch.setenv("DUALSTYLEGAN_MODEL", str(tmp_path))
    assert find_model() == tmp_path


def test_an_address_that_no_plug_in_knows_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"no plug-in.*found: gopher:/x.*limit: .*models"):
        find_model("gopher:/x")


def test_the_portrait_model_is_found_inside_a_registered_one(tmp_path: Path) -> None:
    inner = tmp_path / "artifacts" / "portrait"
    inner.mkdir(parents=True)
    with pytest.raises(CheckpointError, match="no portrait model"):
        portrait_folder(tmp_path)
    for name in ("config.json", "model.safetensors"):
        (inner / name).write_text("")
    assert portrait_folder(tmp_path) == inner
