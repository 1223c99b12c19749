"""Precision: set on every network inside, within a block only where asked, and seen in results."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from dualstylegan.networks.discriminator import Discriminator
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.generator import Generator
from dualstylegan.networks.ir_se50 import IRSE50
from dualstylegan.networks.mobilestylegan import MobileStyleGAN
from dualstylegan.networks.precision import (
    compute_dtype,
    dtype_of,
    has_bfloat16,
    set_compute_dtype,
)
from dualstylegan.networks.stylegan2 import StyleGAN2
from dualstylegan.networks.vgg import LPIPS
from dualstylegan.networks.vgg19 import VGG19


@pytest.fixture
def network() -> DualStyleGAN:
    torch.manual_seed(0)
    return DualStyleGAN(StyleGAN2(32, style_dim=8, mapping_layers=2, channels=[8] * 4), 8).eval()


def test_setting_and_device_choose_the_dtype() -> None:
    assert dtype_of(True, "cuda") is torch.bfloat16
    assert dtype_of(True) is (torch.bfloat16 if has_bfloat16("cpu") else torch.float32)
    assert dtype_of(False) is dtype_of(False, "cuda") is torch.float32


def test_a_setting_never_makes_convolutions_crawl() -> None:
    """Emulated bfloat16 takes a hundred times as long; where the processor has it, it is faster."""
    image, weight = torch.randn(1, 128, 32, 32), torch.randn(128, 128, 3, 3)

    def seconds(dtype: torch.dtype) -> float:
        arguments = image.to(dtype), weight.to(dtype)
        nn.functional.conv2d(*arguments, padding=1)
        start = time.process_time()
        nn.functional.conv2d(*arguments, padding=1)
        return time.process_time() - start

    exact = min(seconds(torch.float32) for _ in range(5))
    assert min(seconds(dtype_of(True)) for _ in range(5)) < 5 * exact


@pytest.mark.parametrize(
    "build",
    [MobileStyleGAN, lambda: StyleGAN2(32), lambda: Discriminator(32), IRSE50, LPIPS, VGG19],
)
def test_every_network_with_convolutions_of_its_own_has_a_precision(build: type[nn.Module]) -> None:
    """A network that lacked the attribute would silently stay in float32."""
    with torch.device("meta"):
        network = nn.ModuleList([build()])
    set_compute_dtype(network, torch.bfloat16)
    assert any(getattr(m, "compute_dtype", None) is torch.bfloat16 for m in network.modules())


@torch.no_grad()
def test_feature_maps_are_computed_in_it_and_images_stay_float32(network: DualStyleGAN) -> None:
    generator: Generator = network.generator
    codes = torch.randn(2, 1, generator.rows, 8)
    exact = network(codes[0], codes[1])
    assert set_compute_dtype(network, torch.bfloat16) is network
    fast = network(codes[0], codes[1])
    assert fast.dtype == torch.float32
    assert 0 < (fast - exact).abs().max() < 0.1


def test_a_block_gives_back_the_precision_that_it_found(network: DualStyleGAN) -> None:
    def fail() -> None:
        with compute_dtype(network.generator, torch.bfloat16):
            assert network.generator.compute_dtype is torch.bfloat16
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert network.generator.compute_dtype is torch.float32
