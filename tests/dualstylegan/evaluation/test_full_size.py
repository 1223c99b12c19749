"""Large pictures: figures that tell a drift of colour and a loss of detail from none."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dualstylegan.evaluation.eval_set import EvalSet
from dualstylegan.evaluation.full_size import fine_detail, measure_full_size
from dualstylegan.evaluation.run import build_eval_set
from dualstylegan.portrait.model import PortraitModel
from tests.support.measuring_networks import PLAN, extractor, faces
from tests.support.portrait_models import STYLE_NAMES, tiny_model

SIZE = 32
DRAWN = {"seed": 0, "resamples": 20}


@pytest.fixture
def model() -> PortraitModel:
    """A model of 64 px whose results are measured at 32."""
    return tiny_model(resolution=64)


def eval_set(model: PortraitModel) -> EvalSet:
    codes = {name: torch.randn(model.generator.rows, 8) for name, _ in faces(3, 0)}
    exemplars = [(n, image) for n, (_, image) in zip(STYLE_NAMES, faces(4, 1), strict=True)]
    return build_eval_set(model, faces(3, 0), codes, exemplars, PLAN)


def test_detail_is_what_a_small_picture_cannot_hold() -> None:
    torch.manual_seed(0)
    sharp = torch.rand(2, 3, 64, 64) * 2 - 1
    soft = F.interpolate(F.avg_pool2d(sharp, 4), (64, 64), mode="bicubic", align_corners=False)
    assert (fine_detail(soft, SIZE) < 0.3 * fine_detail(sharp, SIZE)).all()
    assert fine_detail(torch.full((1, 3, 64, 64), 0.3), SIZE) == pytest.approx(0, abs=1e-6)


def test_a_picture_agrees_with_itself_and_not_with_another_palette(model: PortraitModel) -> None:
    same = measure_full_size(model, eval_set(model), extractor(), 3, SIZE, **DRAWN)
    assert same["large_detail"].value > 0
    render = model.render

    def drifting(*codes: Any, size: int, **named: Any) -> Tensor:
        return (render(*codes, size=size, **named) + (0.5 if size == 64 else 0)).clamp(-1, 1)

    model.render = drifting  # type: ignore[method-assign, assignment]
    drifted = measure_full_size(model, eval_set(model), extractor(), 3, SIZE, **DRAWN)
    # what is left of it in the same picture is rounding to bytes, once at each size
    assert same["large_lpips"].value < 0.05 * drifted["large_lpips"].value


def test_there_is_no_figure_without_a_larger_picture(model: PortraitModel) -> None:
    small = tiny_model()
    assert measure_full_size(small, eval_set(small), extractor(), 3, SIZE, **DRAWN) == {}
    assert measure_full_size(model, eval_set(model), extractor(), 0, SIZE, **DRAWN) == {}
