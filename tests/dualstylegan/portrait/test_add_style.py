"""Add a style without training; the other styles do not change."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dualstylegan.errors import FaceError, SettingsError
from dualstylegan.portrait.add_style import AddStyleSettings, add_style, with_style
from dualstylegan.portrait.face_weights import FILES
from dualstylegan.portrait.model import PortraitModel
from tests.support.portrait_models import STYLE_NAMES, tiny_model

SETTINGS = AddStyleSettings(invert_steps=4, refine_steps=4, structure_rate=0.05)


@pytest.fixture
def model(weights: Path) -> PortraitModel:
    made = tiny_model(resolution=64)
    made.weights_dir = weights
    return made


def painting() -> Image.Image:
    coarse = np.random.default_rng(3).integers(0, 256, (5, 4, 3), np.uint8)
    return Image.fromarray(coarse).resize((192, 240), Image.Resampling.BICUBIC)


def test_a_portrait_becomes_a_style(model: PortraitModel, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    found = add_style(
        model,
        "new one",
        painting(),
        align=False,
        settings=SETTINGS,
        progress=lambda *x: told.append(x),
    )
    assert found.loss_after <= found.loss_before
    assert found.model.styles.names == (*STYLE_NAMES, "new one")
    assert model.styles.names == STYLE_NAMES
    old = found.model.styles.extrinsic_of(STYLE_NAMES)
    assert torch.equal(old, model.styles.extrinsic_SLD)
    assert told[-1] == ("refinement", 4, 4)
    found.model.save_pretrained(tmp_path / "model")
    again = PortraitModel.from_pretrained(tmp_path / "model")
    face = painting().resize((64, 64))
    one, other = (m.transfer(face, "new one", align=False, size=64) for m in (found.model, again))
    assert one.tobytes() == other.tobytes()
    assert one.tobytes() != model.transfer(face, "stone", align=False, size=64).tobytes()
    assert Image.open(tmp_path / "model/thumbnails/new one.jpg").size == (128, 128)


def test_a_saved_model_takes_its_weights_with_it(model: PortraitModel, tmp_path: Path) -> None:
    """Add a style to a model saved from a saved model, with no other weights at hand."""
    model.save_pretrained(tmp_path / "first")
    first = PortraitModel.from_pretrained(tmp_path / "first")
    first.save_pretrained(tmp_path / "second")
    shutil.rmtree(tmp_path / "first")
    second = PortraitModel.from_pretrained(tmp_path / "second", weights_dir=tmp_path / "absent")
    faces = tmp_path / "second/faces"
    assert second.weights_dir == faces
    assert sorted(p.name for p in faces.iterdir()) == sorted(FILES)
    add_style(second, "new", painting(), align=False, settings=SETTINGS)
    with pytest.raises(FaceError, match="no face"):
        second.transfer(painting(), "stone", size=64)


@pytest.mark.parametrize("name", ["stone", "", "  "])
def test_names_that_are_taken_or_blank_are_refused(model: PortraitModel, name: str) -> None:
    with pytest.raises(SettingsError, match="name"):
        add_style(model, name, painting(), align=False, settings=SETTINGS)


@pytest.mark.parametrize("name", ["né à Paris", "../up", "a/b#c", "100 %", ".hidden", "ж" * 150])
def test_any_text_names_a_style_and_stays_its_label(
    model: PortraitModel, tmp_path: Path, name: str
) -> None:
    code = model.styles.extrinsic_SLD[:1] + 1
    added = with_style(model, name, code, code, painting())
    added.weights_dir = None
    added.save_pretrained(tmp_path / "m")
    again = PortraitModel.from_pretrained(tmp_path / "m")
    stored = again.styles.names[-1]
    assert {p.stem for p in (tmp_path / "m/thumbnails").iterdir()} == {"stone", stored}
    assert set(again.thumbnails) == {"stone", stored}
    for asked in (name, stored):
        assert torch.equal(again.styles.extrinsic_of([asked]), code)
    assert again.config.labels == ({} if stored == name else {stored: name})
    with pytest.raises(SettingsError, match="exists"):
        add_style(again, name, painting(), align=False, settings=SETTINGS)


def test_a_portrait_without_a_face_is_refused(model: PortraitModel) -> None:
    with pytest.raises(FaceError, match="no face"):
        add_style(model, "new", painting(), settings=SETTINGS)


def test_a_photo_keeps_its_code_when_a_style_is_added(model: PortraitModel) -> None:
    """Fit by restyled faces: the exemplars of the fit are those of the model before."""
    update = {"fit_steps": 3, "fit_restyled_weight": 0.5, "fit_likeness_line": 0.0}
    defaults = model.config.defaults.model_copy(update=update)
    model.config = model.config.model_copy(update={"defaults": defaults})
    face = painting().crop((0, 0, 192, 192))
    code = torch.randn(1, model.generator.rows, model.generator.style_dim)
    added = with_style(model, "new", code, code, face)
    again = with_style(added, "newer", code, code, face)
    assert added.config.fit_styles == again.config.fit_styles == STYLE_NAMES
    before = model.fit(face).code_LD
    assert np.array_equal(before, added.fit(face).code_LD)
    assert np.array_equal(before, again.fit(face).code_LD)
