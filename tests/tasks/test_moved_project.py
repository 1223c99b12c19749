"""Moved and copied project folders: the registry works, the original is left alone."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
from PIL import Image

from dualstylegan.errors import CheckpointError
from dualstylegan.io.files import write_json
from dualstylegan.io.images import thumbnail
from dualstylegan.portrait.model import PortraitModel
from dualstylegan.portrait.styles import StyleLibrary
from tasks.register import register
from tasks.serving.registry import fetch
from tasks.serving.versions import fault_of
from tasks.shared.paths import Paths
from tasks.shared.tracking import connect
from tests.support.portrait_models import STYLE_NAMES, tiny_model
from tests.support.settings import shipped

CHAMPION = "models:/dualstylegan-demo@champion"
ODD = "fox #1"


def model_with_an_odd_name() -> PortraitModel:
    """Build a model with a style name that no artifact path can have, as older models may."""
    model = tiny_model(resolution=64)
    names = (ODD, *STYLE_NAMES[1:])
    return PortraitModel(
        model.config.model_copy(update={"styles": names}),
        model.network,
        model.encoder,
        StyleLibrary(names, model.styles.extrinsic_SLD, model.styles.intrinsic_SLD),
        thumbnails={ODD: thumbnail(Image.linear_gradient("L"), 64)},
    )


@pytest.fixture(scope="module")
def registered(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("a project") / "original"
    root.mkdir()
    shutil.copy(empty_store, root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        model_with_an_odd_name().save_pretrained(Paths.portrait)
        values = {"style_distance": 0.2, "identity_same": 0.5}
        write_json(Paths.metrics, {k: {"value": v, "low": v, "high": v} for k, v in values.items()})
        assert register(shipped())["champion"] == "1"
    return root


@pytest.fixture
def original(registered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Project of the test's own, a copy."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = Path(shutil.copytree(registered, tmp_path / "one"))
    monkeypatch.chdir(root)
    connect(shipped().register_.experiment)
    return root


def content(folder: Path) -> dict[str, str]:
    """Digest of every file of a folder, by path."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_input_example_is_one_that_the_model_takes(original: Path) -> None:
    import mlflow

    served = mlflow.pyfunc.load_model(CHAMPION)
    folder = mlflow.artifacts.download_artifacts(artifact_uri=CHAMPION)
    options = served.metadata.load_input_example_params(folder)
    (answer,) = served.predict(served.input_example, params=options).to_dict("records")
    assert answer["recipe"]["style"] == served.metadata.metadata["styles"][0] == ODD
    assert len(answer["image"]) > 100


def test_a_copy_writes_nothing_into_the_original(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(original)
    monkeypatch.chdir(shutil.copytree(original, tmp_path / "two"))
    assert register(shipped())["version"] == "1"  # known, and its files were copied
    assert fetch(CHAMPION).is_relative_to(tmp_path / "two")
    write_json(Paths.metrics, {"style_distance": {"value": 0.1, "low": 0.1, "high": 0.1}})
    assert register(shipped())["champion"] == "2"
    assert PortraitModel.from_pretrained(fetch(CHAMPION)).styles.names[0] == ODD
    assert content(original) == before


def test_a_moved_project_keeps_its_champion(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(original.rename(tmp_path / "moved"))
    assert fetch(CHAMPION).is_relative_to(tmp_path / "moved")
    assert register(shipped())["version"] == "1"


def test_a_copy_without_the_files_logs_the_version_again(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shutil.copytree(original, tmp_path / "two"))
    shutil.rmtree("mlartifacts")
    with pytest.raises(CheckpointError, match="registry"):
        fetch(CHAMPION)
    again = register(shipped())
    assert (again["version"], again["champion"]) == ("2", "2")
    client, _ = connect(shipped().register_.experiment)
    first, second = (client.get_model_version("dualstylegan-demo", number) for number in "12")
    assert fault_of(first) is not None
    assert fault_of(second) is None
    assert fetch(CHAMPION).is_relative_to(tmp_path / "two")
    assert register(shipped())["version"] == "2"


def test_a_folder_without_a_registry_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr("tasks.serving.registry.PROJECT", tmp_path / "none")
    with pytest.raises(CheckpointError, match="no model registry"):
        fetch(CHAMPION)
    assert list(tmp_path.iterdir()) == []
