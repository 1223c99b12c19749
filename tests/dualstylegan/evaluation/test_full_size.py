"""Large pictures: figures that tell a drift of colour, a mesh and a loss of detail from none."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from dualstylegan.evaluation.eval_set import EvalSet
from dualstylegan.evaluation.full_size import measure_full_size
from dualstylegan.evaluation.rendering import build_eval_set
from dualstylegan.portrait.model import PortraitModel
from tests.support.measuring_networks import PLAN, extractor, faces
from tests.support.portrait_models import STYLE_NAMES, tiny_model

SIZE = 32
EXEMPLARS = [(n, image) for n, (_, image) in zip(STYLE_NAMES, faces(4, 1), strict=True)]
DRAWN = {
    "originals": dict(EXEMPLARS).__getitem__,
    "measure_size": 16,
    "seed": 0,
    "resamples": 20,
}


@pytest.fixture
def model() -> PortraitModel:
    """A model of 64 px whose results are measured at 32."""
    return tiny_model(resolution=64)


def eval_set(model: PortraitModel) -> EvalSet:
    codes = {name: torch.randn(model.generator.rows, 8) for name, _ in faces(3, 0)}
    return build_eval_set(model, faces(3, 0), codes, EXEMPLARS, PLAN)


def measured(model: PortraitModel) -> dict[str, float]:
    figures = measure_full_size(model, eval_set(model), extractor(), 3, SIZE, **DRAWN)  # type: ignore[arg-type]
    return {name: figure.value for name, figure in figures.items()}


def changed_at_full_size(model: PortraitModel, change: Any) -> None:
    """Make the model change its images of 64 px."""
    render = model.render

    def changing(*codes: Any, size: int, **named: Any) -> Tensor:
        image = render(*codes, size=size, **named)
        return (change(image) if size == 64 else image).clamp(-1, 1)

    model.render = changing  # type: ignore[method-assign, assignment]


def test_a_picture_agrees_with_itself_and_not_with_another_palette(model: PortraitModel) -> None:
    torch.manual_seed(0)
    same = measured(model)
    changed_at_full_size(model, lambda image: image + 0.5)
    torch.manual_seed(0)
    # what is left of it in the same picture is rounding to bytes, once at each size
    assert same["large_lpips"] < 0.05 * measured(model)["large_lpips"]


def test_a_mesh_and_a_blur_at_full_size_are_farther_from_the_exemplars(
    model: PortraitModel,
) -> None:
    torch.manual_seed(0)
    plain = measured(model)
    sign = 1 - 2.0 * (torch.arange(64)[:, None] + torch.arange(64)).remainder(2)
    changed_at_full_size(model, lambda image: image * 0.9 + 0.1 * sign)
    torch.manual_seed(0)
    meshed = measured(model)
    assert meshed["large_mesh"] > plain["large_mesh"] + 3
    assert meshed["large_texture"] > plain["large_texture"] + 3


def test_there_is_no_figure_without_a_larger_picture(model: PortraitModel) -> None:
    small = tiny_model()
    for each, pairs in ((small, 3), (model, 0)):
        assert not measure_full_size(each, eval_set(each), extractor(), pairs, SIZE, **DRAWN)  # type: ignore[arg-type]


def test_an_exemplar_is_compared_at_its_own_resolution(model: PortraitModel) -> None:
    """A rough exemplar is far from the smooth one of the same name, however alike in small."""
    torch.manual_seed(0)
    rough = {
        name: image.resize((256, 256)).effect_spread(9) for name, image in EXEMPLARS
    }.__getitem__
    given: dict[str, Any] = {**DRAWN, "originals": rough}
    other = measure_full_size(model, eval_set(model), extractor(), 3, SIZE, **given)
    torch.manual_seed(0)
    assert abs(other["large_texture"].value - measured(model)["large_texture"]) > 3


def test_exemplars_too_small_to_show_a_texture_leave_its_figures_out(model: PortraitModel) -> None:
    """Portraits of a few pixels ended an evaluation after its minutes of rendering."""
    tiny = {name: image.resize((24, 24)) for name, image in EXEMPLARS}.__getitem__
    given: dict[str, Any] = {**DRAWN, "originals": tiny, "measure_size": 128}
    figures = measure_full_size(model, eval_set(model), extractor(), 3, SIZE, **given)
    assert "large_lpips" in figures
    assert "large_texture" not in figures
