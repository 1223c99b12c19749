"""Degradations by the camera: each changes what it is named after, and only that."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dualstylegan.io.images import luma
from dualstylegan.pretraining.photograph.camera import (
    Compression,
    Defocus,
    Framing,
    Monochrome,
    Motion,
    Noise,
    Shrink,
    Tone,
    Vignette,
    dct_matrix,
)
from tests.support.portrait_like import portrait_like


def detail(x_CHW: Tensor, axis: int) -> float:
    """Return the energy of differences between neighbours along an axis."""
    return float(x_CHW.diff(dim=axis).square().mean())


def test_neutral_parameters_change_nothing() -> None:
    x = portrait_like()
    for neutral in (
        Framing((0.0, 0.0), 0.0, 1.0, 0.0),
        Tone(1.0, 0.0, 1.0, 0.0),
        Vignette(0.0),
        Noise(0.0, 0.0, 1),
        Shrink(1.0),
    ):
        assert torch.allclose(neutral(x), x, atol=2e-3), neutral


@pytest.mark.parametrize("blur", [Defocus(0.01), Motion(0.04, 0.7)])
def test_blurs_take_detail_and_leave_brightness(blur: Defocus | Motion) -> None:
    x = portrait_like()
    blurred = blur(x)
    assert all(detail(blurred, axis) < 0.5 * detail(x, axis) for axis in (1, 2))
    assert blurred.mean() == pytest.approx(float(x.mean()), abs=2e-3)


def test_motion_blurs_along_its_direction_only() -> None:
    stripes = torch.arange(128).div(4, rounding_mode="floor").remainder(2).float()
    horizontal = stripes[:, None].expand(3, 128, 128)
    along, across = Motion(0.05, 0.0), Motion(0.05, math.pi / 2)
    assert torch.allclose(along(horizontal), horizontal, atol=1e-5)
    assert detail(across(horizontal), 1) < 0.3 * detail(horizontal, 1)


def test_a_vignette_darkens_the_corners_and_not_the_face() -> None:
    x = torch.full((3, 128, 128), 0.8)
    dark = Vignette(0.4)(x)
    assert dark[:, 0, 0].max() < 0.65 * 0.8
    assert dark[:, 40:90, 40:90].min() > 0.96 * 0.8


def test_noise_grows_with_the_light_and_has_no_bias() -> None:
    noise = Noise(shot=0.05, read=0.005, seed=3)
    dark, bright = (noise(torch.full((3, 128, 128), value)) for value in (0.1, 0.6))
    for noisy, value in ((dark, 0.1), (bright, 0.6)):
        assert noisy.mean() == pytest.approx(value, abs=2e-3)
        assert noisy.std() == pytest.approx(math.sqrt(0.05**2 * value + 0.005**2), rel=0.1)


def test_a_file_of_fewer_pixels_has_less_detail() -> None:
    x = portrait_like()
    twice, four = Shrink(2.0)(x), Shrink(4.0)(x)
    assert detail(four, 2) < detail(twice, 2) < detail(x, 2)
    assert four.shape == x.shape


def test_monochrome_is_grey_and_keeps_the_luma() -> None:
    x = portrait_like()
    grey = Monochrome(0.0)(x)
    assert torch.equal(grey[0], grey[2])
    assert torch.allclose(luma(grey), luma(x), atol=1e-6)


def test_a_positive_distortion_magnifies_the_centre() -> None:
    u = torch.linspace(-1, 1, 128)
    disc = (u.square() + u[:, None].square() < 0.04).float().expand(3, 128, 128)
    assert Framing((0.0, 0.0), 0.0, 1.0, 0.1)(disc).sum() > 1.02 * disc.sum()
    assert Framing((0.0, 0.0), 0.0, 1.0, -0.1)(disc).sum() < 0.98 * disc.sum()


def test_the_block_transform_is_orthonormal() -> None:
    dct = dct_matrix()
    assert torch.allclose(dct @ dct.T, torch.eye(8), atol=1e-6)


@pytest.mark.parametrize("quality", [40, 80])
def test_compression_agrees_with_a_jpeg_encoder(quality: int) -> None:
    """Pillow's encoder makes the same image up to its rounding to integers."""
    x = (portrait_like() * 255).round() / 255
    pixels = (x.permute(1, 2, 0) * 255).to(torch.uint8).numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=2)
    decoded = torch.from_numpy(np.array(Image.open(buffer))).permute(2, 0, 1) / 255
    ours = Compression(quality)(x)
    apart, lost = (ours - decoded).abs().mean(), (x - decoded).abs().mean()
    assert apart < 0.35 * lost


def test_compression_loses_more_at_less_quality_and_little_twice() -> None:
    x = portrait_like()
    lost = [float((Compression(quality)(x) - x).abs().mean()) for quality in (95, 70, 40)]
    assert lost == sorted(lost)
    assert lost[0] > 0
    once = Compression(40)(x)
    assert (Compression(40)(once) - once).abs().mean() < 0.15 * lost[2]


def test_compression_takes_sides_that_are_no_multiples_of_its_blocks() -> None:
    x = portrait_like(99)[:, :70]
    assert Compression(90)(x).shape == x.shape
    assert (Compression(90)(x) - x).abs().mean() < 0.03
