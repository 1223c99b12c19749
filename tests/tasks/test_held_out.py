"""Held-out exemplars become styles of the packaged model, once each."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dualstylegan.io.files import read_json
from dualstylegan.portrait.add_style import AddStyleSettings, add_style
from tasks.shared import held_out
from tasks.shared.held_out import add_styles
from tasks.shared.paths import Paths
from tests.support.measuring_networks import faces
from tests.support.portrait_models import STYLE_NAMES, tiny_model
from tests.support.settings import shipped

PLAN = AddStyleSettings(2, 2)


def test_each_is_added_once_and_again_only_for_another_budget(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made: list[str] = []
    real = add_style

    def counted(*args: object, **kwargs: object) -> object:
        made.append("x")
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(held_out, "add_style", counted)
    model = tiny_model(resolution=64)
    model.weights_dir = weights
    portraits = [(f"né {name}", image) for name, image in faces(2, 7)]
    first = add_styles(model, portraits, {}, PLAN, shipped().profile)
    assert first.styles.names == (*STYLE_NAMES, "né face-0", "né face-1")
    assert model.styles.names == STYLE_NAMES
    assert len(made) == 2
    assert set(read_json(Paths.added_seconds)) == {"né face-0", "né face-1"}
    again = add_styles(model, portraits, {}, PLAN, shipped().profile)
    assert len(made) == 2
    assert torch.equal(again.styles.extrinsic_SLD, first.styles.extrinsic_SLD)
    assert not torch.equal(first.styles.extrinsic_SLD[-1], first.styles.extrinsic_SLD[-2])
    add_styles(model, portraits[:1], {}, AddStyleSettings(2, 3), shipped().profile)
    assert len(made) == 3
    assert add_styles(model, [], {}, PLAN, shipped().profile) is model
