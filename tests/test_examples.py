"""The examples run as their docstrings say, on small models and a real photo."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest
from PIL import Image

from dualstylegan.portrait.add_style import AddStyleSettings, add_style
from dualstylegan.portrait.model import PortraitModel
from tests.conftest import ROOT
from tests.support.portrait_models import STYLE_NAMES, tiny_model, with_sampler

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
MAX_LINES = 40


def save_model(folder: Path, resolution: int, weights: Path) -> Path:
    """Write a small model with a sampler, its face models included, and return its folder."""
    model = with_sampler(tiny_model(resolution=resolution))
    defaults = model.config.defaults.model_copy(update={"crop_px": resolution})
    model.config = model.config.model_copy(update={"defaults": defaults})
    model.weights_dir = weights
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def models(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Return model folders by the resolution of their generators."""
    folder = tmp_path_factory.mktemp("models")
    return {size: save_model(folder / f"{size}", size, weights) for size in (64, 256)}


def run(name: str, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    """Run an example as a script."""
    script = str(ROOT / "examples" / f"{name}.py")
    monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
    runpy.run_path(script, run_name="__main__")


@pytest.mark.parametrize(
    ("name", "resolution", "arguments", "images"),
    [
        ("hello_transfer", 256, ("stone",), 1),
        ("hello_style_grid", 256, (), 4),
        ("hello_invert", 64, (), 3),
        ("hello_new_styles", 256, (), 4),
        ("hello_finetune_tiny", 64, (), 3),
    ],
)
def test_an_example_writes_its_images_side_by_side(
    name: str,
    resolution: int,
    arguments: tuple[str, ...],
    images: int,
    models: dict[int, Path],
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    run(name, monkeypatch, models[resolution], weights / "astronaut.png", *arguments, "out.png")
    with Image.open("out.png") as image:
        assert image.width // resolution == images
        assert image.getcolors(1000) is None, "an image of more than 1000 colours"


def test_a_style_is_added(
    models: dict[int, Path], weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = AddStyleSettings(invert_steps=2, refine_steps=2)  # 100 steps take a minute
    monkeypatch.setitem(add_style.__kwdefaults__, "settings", few)  # type: ignore[arg-type]
    out = tmp_path / "model"
    run("hello_add_style", monkeypatch, models[64], weights / "astronaut.png", "mine", out)
    assert PortraitModel.from_pretrained(out).styles.names == (*STYLE_NAMES, "mine")


def test_examples_are_short_and_listed() -> None:
    listed = (ROOT / "examples" / "README.md").read_text()
    for path in EXAMPLES:
        assert len(path.read_text().splitlines()) < MAX_LINES, path
        assert f"`{path.name} " in listed
        assert f"python examples/{path.name} " in path.read_text()
