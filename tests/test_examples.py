"""The examples run as their docstrings say, on small models and a real photo."""

from __future__ import annotations

import ast
import re
import runpy
import sys
from pathlib import Path

import pytest
from PIL import Image

from dualstylegan.portrait.add_style import AddStyleSettings, add_style
from dualstylegan.portrait.model import PortraitModel
from dualstylegan.portrait.result import facts_of
from tests.conftest import ROOT
from tests.support.portrait_models import STYLE_NAMES, tiny_model, with_sampler

EXAMPLES = sorted((ROOT / "examples").glob("hello_*.py"))
CELL = re.compile(r"^# %%( \[markdown\])?\n", re.MULTILINE)
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


def test_the_notebook_runs_from_top_to_bottom(
    models: dict[int, Path],
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    run("notebook", monkeypatch, models[256], weights / "astronaut.png")
    told = re.findall(r"structure (\d\.\d\d)  LPIPS (\d\.\d{3})", capsys.readouterr().out)
    assert [weight for weight, _ in told] == ["0.00", "0.25", "0.50", "0.75", "1.00"]
    assert len({distance for _, distance in told}) == 5
    with Image.open("mixed.png") as image:
        assert facts_of(image)["dualstylegan:style"] == f"{STYLE_NAMES[0]}:0.6 {STYLE_NAMES[1]}:0.4"


def test_the_notebook_has_cells_of_text_and_of_code() -> None:
    """An editor takes what follows `# %% [markdown]` as text, and shows a cell's last value."""
    parts = CELL.split((ROOT / "examples" / "notebook.py").read_text())
    assert parts[0] == ""
    cells = list(zip(parts[1::2], parts[2::2], strict=True))
    texts = [body for kind, body in cells if kind]
    assert len(texts) == len(cells) / 2 == 6
    assert all(line.startswith("#") for body in texts for line in body.strip().splitlines())
    shown = [ast.parse(body).body[-1] for kind, body in cells if not kind]
    assert sum(isinstance(last, ast.Expr) for last in shown) == 5
