"""Degradations before the camera: background, light, shadow."""

from __future__ import annotations

import math

import pytest
import torch

from dualstylegan.pretraining.photograph.scene import Background, Light, Shadow
from tests.support.portrait_like import portrait_like

FACE = (slice(None), slice(60, 90), slice(50, 78))


@pytest.mark.parametrize("discs", [0, 8])
def test_a_new_background_leaves_the_face(discs: int) -> None:
    x = portrait_like()
    changed = Background((0.9, 0.5, 0.2), (3, 5), 0.3, discs, seed=1)(x)
    assert torch.allclose(changed[FACE], x[FACE], atol=0.01)
    corners = (changed - x)[:, :16, [*range(16), *range(112, 128)]]
    assert corners.abs().mean() > 0.15


def test_no_edge_shows_at_the_outline() -> None:
    x = torch.full((3, 128, 128), 0.2)
    changed = Background((0.9, 0.9, 0.9), (2, 2), 0.1, 0, seed=1)(x)
    assert changed.max() - changed.min() > 0.5
    assert max(float(changed.diff(dim=axis).abs().max()) for axis in (1, 2)) < 0.12


def test_light_from_the_right_brightens_the_right() -> None:
    x = torch.full((3, 128, 128), 0.4)
    lit = Light(exposure=0.0, gradient=0.8, direction=0.0, temperature=0.0, green=0.0)(x)
    assert lit[:, :, -1].mean() > 0.45 > 0.35 > lit[:, :, 0].mean()
    assert torch.allclose(lit[:, :, 63:65], x[:, :, 63:65], atol=0.01)
    # One stop more is twice the light; display values hold its 2.2th root.
    brighter = Light(1.0, 0.0, 0.0, 0.0, 0.0)(x)
    assert torch.allclose(brighter, x * 2 ** (1 / 2.2))
    warm = Light(0.0, 0.0, 0.0, 0.1, 0.0)(x)
    assert warm[0].mean() > warm[1].mean() > warm[2].mean()


def test_a_shadow_darkens_one_side_only() -> None:
    x = portrait_like()
    shaded = Shadow(light=0.5, direction=math.pi, offset=0.1, edge=0.1)(x)
    assert torch.equal(shaded[:, :, 64:], x[:, :, 64:])
    assert torch.allclose(shaded[:, :, :32], 0.5 * x[:, :, :32])
