"""Texture and mesh: what makes a picture worse makes its figures worse."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dualstylegan.evaluation.texture import PERIODS, detail_bands, lattice, mesh, texture_distance

PX = 256


def picture(seed: int = 0, px: int = PX) -> Tensor:
    """A painting of sorts: soft patches with crisp edges and the grain of a 1/f spectrum."""
    rng = torch.Generator().manual_seed(seed)
    frequency = torch.fft.fftfreq(px)
    radius = (frequency[:, None].square() + frequency.square()).sqrt().clamp_min(1 / px)
    noise = torch.randn(1, 3, px, px, generator=rng)
    pink = torch.fft.ifft2(torch.fft.fft2(noise) / radius).real
    grain: Tensor = pink / pink.std()
    return (0.3 * (grain > 0.3) + 0.15 * grain - 0.1).clamp(-1, 1)


def pattern(period: int, levels: float, px: int = PX) -> Tensor:
    """A pattern without mean that repeats every `period` pixels, of so many grey levels."""
    block = torch.randn(1, 1, period, period, generator=torch.Generator().manual_seed(period))
    block = block - block.mean()
    return (levels / 127.5 * block / block.std()).repeat(1, 3, px // period, px // period)


def blurred(image: Tensor, taps: int = 5) -> Tensor:
    return F.avg_pool2d(F.pad(image, (taps // 2,) * 4, mode="reflect"), taps, 1)


def test_periods_divide_the_lattice_among_them() -> None:
    points = torch.cat([lattice(period) for period in PERIODS])
    assert len({*map(tuple, points.tolist())}) == len(points) == 8 * 8 - 1


@pytest.mark.parametrize("seed", range(3))
def test_a_painting_has_no_mesh(seed: int) -> None:
    assert mesh(picture(seed)) < 1
    # nor has one whose pattern covers a part of it
    partly = picture(seed)
    partly[..., : PX // 4] += pattern(2, 4)[..., : PX // 4]
    assert mesh(partly) < 1


@pytest.mark.parametrize("period", PERIODS)
def test_a_mesh_is_seen_at_a_grey_level_or_two(period: int) -> None:
    image = picture()
    found = [mesh(image + pattern(period, levels)) for levels in (0, 2, 4, 8)]
    assert found[0] < 1 < 2 < found[1] < found[2] < found[3]


@pytest.mark.parametrize("period", PERIODS)
def test_a_mesh_makes_texture_worse_even_where_detail_is_missing(period: int) -> None:
    exemplar = picture(1)
    for image in (picture(), blurred(picture())):
        plain = texture_distance(image, exemplar, 64)
        meshed = [texture_distance(image + pattern(period, k), exemplar, 64) for k in (2, 4, 8)]
        assert plain < meshed[0] < meshed[1] < meshed[2]


def test_blur_and_noise_make_texture_worse() -> None:
    image, exemplar = picture(), picture(1)
    plain = texture_distance(image, exemplar, 64)
    assert plain < 1
    soft = [texture_distance(blurred(image, taps), exemplar, 64) for taps in (3, 5, 9)]
    assert plain + 3 < soft[0] < soft[1] < soft[2]
    rough = image + 0.5 * torch.randn(image.shape, generator=torch.Generator().manual_seed(2))
    assert texture_distance(rough, exemplar, 64) > plain + 3


def test_sizes_of_one_picture_compare() -> None:
    """Detail that half the size can show has the same density there."""
    large = picture(px=512)
    small = F.interpolate(large, (256, 256), mode="bicubic", antialias=True)
    bands = [detail_bands(x, 32, 64) for x in (large, small)]
    assert (bands[0] - bands[1]).abs().max() < 1.5
    assert texture_distance(large, small, 64) < 2


def test_flat_pictures_have_figures() -> None:
    flat = torch.zeros(1, 3, 128, 128)
    assert mesh(flat) == 0
    assert texture_distance(flat, flat, 64) == 0
    assert texture_distance(flat, picture(px=128), 64) > 10
