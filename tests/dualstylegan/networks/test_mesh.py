"""Suppression of a mesh: the mesh goes, the picture stays."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dualstylegan.networks.mesh import box_mean, suppress_mesh


def waves(px: int = 128) -> Tensor:
    """A picture with fine detail at frequencies that no mesh has, and a crisp edge."""
    x = torch.arange(px, dtype=torch.float32)
    fine = 0.1 * torch.cos(2 * torch.pi * 0.31 * x)[:, None] * torch.cos(2 * torch.pi * 0.19 * x)
    return (fine + 0.4 * (x > 0.6 * px) - 0.2).expand(1, 3, px, px).contiguous()


def tiled(period: int, px: int = 128) -> Tensor:
    block = torch.randn(1, 3, period, period, generator=torch.Generator().manual_seed(0))
    block = block - block.mean((2, 3), keepdim=True)
    return (2 / 127.5 * block).repeat(1, 1, px // period, px // period)


@pytest.mark.parametrize("period", [2, 4, 8])
def test_a_mesh_goes_and_the_picture_stays(period: int) -> None:
    picture = waves()
    kept = suppress_mesh(picture, 8)
    left = suppress_mesh(picture + tiled(period), 8) - kept
    assert left.square().mean() < 0.02 * tiled(period).square().mean()
    assert (kept - picture).square().mean() < 0.005 * (picture - picture.mean()).square().mean()


def test_a_mesh_that_changes_over_the_picture_goes() -> None:
    """Skin, hair and background have meshes of their own."""
    ramp = torch.linspace(-1, 1, 128)
    mesh = tiled(4) * ramp
    assert suppress_mesh(mesh, 8).square().mean() < 0.05 * mesh.square().mean()


def test_colours_stay() -> None:
    picture = waves() + tiled(8)
    means = [x.unfold(2, 16, 16).unfold(3, 16, 16).mean((4, 5)) for x in (picture,)]
    means += [suppress_mesh(picture, 8).unfold(2, 16, 16).unfold(3, 16, 16).mean((4, 5))]
    assert (means[0] - means[1]).abs().max() < 0.5 / 127.5


def test_an_image_does_not_depend_on_its_batch() -> None:
    pair = torch.cat((waves(), waves().flip(3) + tiled(8)))
    alone = torch.cat([suppress_mesh(x[None], 8) for x in pair])
    assert torch.allclose(suppress_mesh(pair, 8), alone, atol=1e-6)


@pytest.mark.parametrize("side", range(1, 10))
def test_means_of_windows_are_those_of_pooling(side: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 12, 17)
    torch.testing.assert_close(box_mean(x, side), F.avg_pool2d(x, side, 1))
