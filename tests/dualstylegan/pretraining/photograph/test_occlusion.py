"""Occlusions cover part of the face where such things are, and leave the rest."""

from __future__ import annotations

import pytest
import torch

from dualstylegan.pretraining.photograph.chain import OCCLUSIONS, Degradation
from dualstylegan.pretraining.photograph.fields import ramp
from tests.support.portrait_like import portrait_like

# Rows of the image that may change, as shares of its height.
ROWS = {
    "Glasses": (0.3, 0.65),
    "Strand": (0.0, 0.75),
    "Hat": (0.0, 0.55),
    "Hand": (0.65, 1.0),
    "Scarf": (0.7, 1.0),
}


@pytest.mark.parametrize("kind", [kind for kind, _ in OCCLUSIONS])
@pytest.mark.parametrize("size", [64, 256])
def test_each_covers_its_own_part(kind: type[Degradation], size: int) -> None:
    x = portrait_like(size)
    top, bottom = ROWS[kind.__name__]
    for seed in range(6):
        covered = kind.draw(torch.Generator().manual_seed(seed))(x)
        changed = (covered - x).abs().amax(0) > 0.02
        rows = changed.any(1).nonzero()[:, 0] / size
        assert top <= rows.min()
        assert rows.max() <= bottom
        assert 0.002 < changed.float().mean() < 0.4
        assert 0 <= covered.min() <= covered.max() <= 1


def test_ramps_rise_and_fall() -> None:
    x = torch.tensor([0.0, 1.0, 2.0, 3.0])
    assert ramp(x, 1.0, 2.0).tolist() == [0, 0, 1, 1]
    assert ramp(x, 2.0, 1.0).tolist() == [1, 1, 0, 0]
