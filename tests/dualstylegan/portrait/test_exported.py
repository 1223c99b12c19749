"""A model in ONNX form: the pictures of torch, through every door, where torch is not installed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dualstylegan.errors import CheckpointError, SettingsError
from dualstylegan.io.images import read_image
from dualstylegan.portrait.add_style import add_style
from dualstylegan.portrait.exported import ExportedModel
from dualstylegan.portrait.model import PortraitModel
from dualstylegan.portrait.sitter import Sitter
from tests.conftest import ROOT
from tests.support.command import run
from tests.support.exported_models import PX, exported_pair
from tests.support.portrait_models import STYLE_NAMES

# A frame that leaves a corner of the crop outside of its photo, as shares of the crop's side.
FRAME = np.array([[-0.2, 0.1], [0.1, 1.3], [1.4, 0.9], [0.9, -0.3]])
# Refuses torch as an environment does that has none.
WITHOUT_TORCH = """
import sys, time
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "onnx", "onnxscript"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "torch" else found(name)
"""
TRANSFER = """
from dualstylegan import PortraitModel
from dualstylegan.io.images import read_image
model = PortraitModel.from_pretrained(sys.argv[1], runtime="onnx", weights_dir=sys.argv[2])
photo = read_image(sys.argv[3])
model.transfer(photo, "stone", size=64).save(sys.argv[4])
from dualstylegan.cli import main
sys.argv = ["dualstylegan", *sys.argv[5:]]
main()
"""


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return exported_pair(tmp_path_factory)


@pytest.fixture(scope="module")
def pair(folders: tuple[Path, Path]) -> tuple[PortraitModel, PortraitModel]:
    """Return a model in torch, and in ONNX form."""
    torch_model, exported = map(PortraitModel.from_pretrained, folders)
    assert isinstance(exported, ExportedModel)
    return torch_model, exported


def photo(seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((160, 160), Image.Resampling.BICUBIC)


@pytest.mark.parametrize(
    "options",
    [
        {"style": "stone"},
        {"style": "stone", "structure": 0.5, "color": 0.2, "truncation": 0.7},
        {"style": "amber-owl", "preserve_color": True},
        {"style": "stone", "weights": [0.0, 1.0, 0.3, 0.7, 0.0, 1.0, 0.5, 0.2, 0.9, 0.4]},
        {"style": {"stone": 1.0, "blue-heron": 2.0}, "align": False},
    ],
)
def test_pictures_are_those_of_torch(
    pair: tuple[PortraitModel, PortraitModel], options: dict[str, Any]
) -> None:
    asked = {"size": PX, "align": False} | options
    wanted, found = (model.transfer(photo(), **asked) for model in pair)
    assert np.abs(np.asarray(wanted, int) - np.asarray(found, int)).max() <= 1
    ours = ("dualstylegan:model_digest", "dualstylegan:style_digest")
    stated, facts = (
        {k: v for k, v in image.info.items() if k not in ours} for image in (wanted, found)
    )
    assert facts == stated
    assert float(facts["dualstylegan:likeness"]) != 0


@pytest.mark.parametrize("frame", [None, FRAME])
def test_codes_and_likeness_are_those_of_torch(
    pair: tuple[PortraitModel, PortraitModel], frame: np.ndarray | None
) -> None:
    """The passes of the encoder, with what lies outside of the photo left out as there."""
    wanted, found = (model.fit(photo(1), 0, frame) for model in pair)
    assert np.abs(wanted.code_LD - found.code_LD).max() < 3e-3
    assert found.likeness == pytest.approx(wanted.likeness, abs=1e-3)
    other = pair[1].fit(photo(1), 0, None if frame is not None else FRAME)
    assert np.abs(other.code_LD - found.code_LD).max() > 0.01


def test_a_sitter_is_restyled_by_the_form_that_read_it(
    pair: tuple[PortraitModel, PortraitModel], tmp_path: Path
) -> None:
    torch_model, exported = pair
    exported.read(photo(), align=False).save(tmp_path / "sitter.safetensors")
    sitter = Sitter.load(tmp_path / "sitter.safetensors")
    again = exported.restyle(sitter, "stone", size=PX)
    assert again.tobytes() == exported.transfer(photo(), "stone", size=PX, align=False).tobytes()
    with pytest.raises(CheckpointError, match="read by another model"):
        torch_model.restyle(sitter, "stone", size=PX)


def test_what_it_lacks_is_refused_before_the_work(
    folders: tuple[Path, Path], pair: tuple[PortraitModel, PortraitModel]
) -> None:
    model = pair[1]
    with pytest.raises(SettingsError, match=r"takes no steps of the fit; found: 3;.*with torch"):
        model.transfer(photo(), "stone", size=PX, fit_steps=3)  # before a face is looked for
    with pytest.raises(SettingsError, match="exceeds the model's resolution"):
        model.transfer(photo(), "stone", size=256)
    with pytest.raises(SettingsError, match="no networks of torch"):
        add_style(model, "new", photo(), align=False)
    with pytest.raises(SettingsError, match="computes on the CPU; found: cuda"):
        PortraitModel.from_pretrained(folders[1], device="cuda")
    with pytest.raises(CheckpointError, match=r"not a model in ONNX form.*export-onnx"):
        PortraitModel.from_pretrained(folders[0], runtime="onnx")
    with pytest.raises(CheckpointError, match="ONNX form, which reads and restyles photos alone"):
        PortraitModel.from_pretrained(folders[1], runtime="torch")


def test_damaged_files_are_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folders[1], copy)
    weights = copy / "weights.bin"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CheckpointError, match=r"weights\.bin: other bytes than onnx\.json states"):
        PortraitModel.from_pretrained(copy).transfer(photo(), "stone", size=PX, align=False)
    weights.write_bytes(content[:-1])
    with pytest.raises(CheckpointError, match=r"weights\.bin: a truncated or changed file"):
        PortraitModel.from_pretrained(copy)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"weights\.bin: no such file"):
        PortraitModel.from_pretrained(copy)
    stated = json.loads((copy / "onnx.json").read_text())
    (copy / "onnx.json").write_text(json.dumps(stated | {"opset": "many"}))
    with pytest.raises(CheckpointError, match=r"onnx\.json: .*opset.*restore onnx\.json"):
        PortraitModel.from_pretrained(copy)


def test_every_door_takes_the_folder(folders: tuple[Path, Path], tmp_path: Path) -> None:
    done = run("styles", folders[1])
    assert (done.status, done.stdout.split()) == (0, list(STYLE_NAMES))
    photo().save(tmp_path / "photo.png")
    asked = ("-m", folders[1], "--style", "stone")
    done = run("transfer", tmp_path / "photo.png", *asked, "-o", tmp_path / "out.png")
    assert (done.status, "exceeds the model's resolution" in done.stderr) == (2, True)
    new = ("--name", "x", "-m", folders[1], "-o", tmp_path / "new")
    done = run("add-style", tmp_path / "photo.png", *new)
    assert (done.status, "reads and restyles photos alone" in done.stderr) == (2, True)
    assert not (tmp_path / "new").exists()


def test_it_restyles_where_there_is_no_torch(
    folders: tuple[Path, Path],
    pair: tuple[PortraitModel, PortraitModel],
    weights: Path,
    tmp_path: Path,
) -> None:
    """Find, crop, encode and restyle a real photo's face; then refuse what needs torch."""
    script = tmp_path / "script.py"
    script.write_text(WITHOUT_TORCH + TRANSFER)
    source, result = weights / "astronaut.png", tmp_path / "out.png"
    adding = ("add-style", source, "--name", "x", "-m", folders[0], "-o", tmp_path / "new")
    command = [sys.executable, script, folders[1], weights, source, result, *adding]
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert result.is_file(), done.stderr
    assert done.returncode == 2
    assert "needs torch, which is not installed; fix: pip install" in done.stderr
    assert "Traceback" not in done.stderr
    pair[0].transfer(photo(), "stone", size=PX, align=False)  # loads the model's own recognition
    pair[0].weights_dir = weights
    wanted = pair[0].transfer(read_image(source), "stone", size=PX)
    pair[0].weights_dir = folders[0] / "faces"
    found = np.asarray(Image.open(result), int)
    assert np.abs(found - np.asarray(wanted, int)).max() <= 1


def test_a_flipped_bit_in_any_file_is_noticed(folders: tuple[Path, Path], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folders[1], copy)
    for name in json.loads((copy / "onnx.json").read_text())["files"]:
        whole = (copy / name).read_bytes()
        middle = len(whole) // 2
        flipped = bytes([whole[middle] ^ 4])
        (copy / name).write_bytes(whole[:middle] + flipped + whole[middle + 1 :])
        with pytest.raises(CheckpointError, match=r"; fix: "):
            assert PortraitModel.from_pretrained(copy).digest
        (copy / name).write_bytes(whole)
    assert PortraitModel.from_pretrained(copy).digest
