"""Model folder in half precision: a third of the bytes, the same pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dualstylegan.errors import CheckpointError
from dualstylegan.io.checkpoints import load_tensors, save_tensors
from dualstylegan.portrait.half import halved, write_half
from dualstylegan.portrait.model import PortraitModel
from tests.support.portrait_models import tiny_model, with_sampler


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a model folder and its half-precision form."""
    full, half = (tmp_path_factory.mktemp("models") / name for name in ("full", "half"))
    model = with_sampler(tiny_model(resolution=64))
    model.card = "All weights are float32; no pickle."
    model.save_pretrained(full)
    write_half(full, half)
    return full, half


def test_pictures_are_the_same_to_a_level(folders: tuple[Path, Path]) -> None:
    face = Image.radial_gradient("L").convert("RGB")
    full, half = (
        np.asarray(
            PortraitModel.from_pretrained(f).transfer(face, "stone", align=False, size=64), int
        )
        for f in folders
    )
    assert np.abs(full - half).max() <= 1


def test_the_half_form_of_a_rounded_model_is_the_same_model(tmp_path: Path) -> None:
    whole = with_sampler(tiny_model(resolution=64))
    whole.save_pretrained(tmp_path / "whole")
    rounded = PortraitModel.from_pretrained(
        write_half(tmp_path / "whole", tmp_path / "rounded", pack=False)
    )
    assert rounded.digest != whole.digest
    rounded.save_pretrained(tmp_path / "again")
    for source in ("rounded", "again"):
        half = PortraitModel.from_pretrained(write_half(tmp_path / source, tmp_path / "half"))
        assert half.digest == rounded.digest
        assert torch.equal(half.sample_style(1), rounded.sample_style(1))


def test_networks_compute_in_float32(folders: tuple[Path, Path]) -> None:
    full, half = map(PortraitModel.from_pretrained, folders)
    for network in (half.network, half.encoder):
        assert {p.dtype for p in network.parameters()} == {torch.float32}
    assert torch.equal(half.styles.extrinsic_SLD, full.styles.extrinsic_SLD)
    assert (half.sample_style(1) - full.sample_style(1)).abs().max() < 0.01


def test_the_folder_is_smaller_and_its_card_says_so(folders: tuple[Path, Path]) -> None:
    sizes = [(f / "encoder.safetensors").stat().st_size for f in folders]
    assert sizes[1] < 0.6 * sizes[0]
    assert "half precision" in PortraitModel.from_pretrained(folders[1]).card
    assert PortraitModel.from_pretrained(folders[1]).thumbnails


def test_a_weight_too_large_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    tensors = {"wide": torch.full((80, 80), 1e6)}
    with pytest.raises(CheckpointError, match=r"too large for half.*wide: 1e\+06; limit: 65504"):
        halved(tensors, torch.float16, tmp_path)


def test_a_broken_folder_leaves_nothing(folders: tuple[Path, Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_bytes((folders[0] / "config.json").read_bytes())
    save_tensors(broken / "model.safetensors", load_tensors(folders[0] / "model.safetensors"))
    with pytest.raises(CheckpointError, match=r"encoder\.safetensors: no such file"):
        write_half(broken, tmp_path / "half")
    assert not (tmp_path / "half").exists()
