"""Second derivatives: R1 and path length have torch's gradients, at a lower cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck

from benchmarks.reference import published_formulation
from dualstylegan.losses import path_lengths, r1_penalty
from dualstylegan.networks.discriminator import Discriminator
from dualstylegan.networks.double_backward import (
    ConvGeometry,
    conv2d,
    conv_transpose2d,
    leaky_relu_,
)
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.stylegan2 import StyleGAN2
from tasks.shared.floor import operations

GEOMETRIES = [
    ConvGeometry(),
    ConvGeometry(1, 1),
    ConvGeometry(2, 0),
    ConvGeometry(2, 1),
    ConvGeometry(1, 1, groups=4),
]


def drawn(*shape: int, dtype: torch.dtype = torch.double) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(len(shape)))


def discriminator(dtype: torch.dtype = torch.double) -> Discriminator:
    torch.manual_seed(0)
    network = Discriminator(32, channels=[8] * 4).to(dtype)
    network.compute_dtype = dtype
    return network


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("size", [4, 5])
def test_convolutions_have_the_gradients_of_finite_differences(
    geometry: ConvGeometry, size: int
) -> None:
    x = drawn(1, 4, size, size).requires_grad_(True)
    w = drawn(4, 4 // geometry.groups, 3, 3).requires_grad_(True)
    bias = drawn(4).requires_grad_(True)
    for check in (gradcheck, gradgradcheck):
        assert check(lambda x, w, b: conv2d(x, w, b, geometry), (x, w, bias))
        assert check(lambda x, w: conv_transpose2d(x, w, geometry), (x, w))


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("size", [6, 7])
def test_convolutions_are_those_of_torch(geometry: ConvGeometry, size: int) -> None:
    x, w = drawn(2, 4, size, size), drawn(4, 4 // geometry.groups, 3, 3)
    options: dict[str, Any] = {
        "stride": geometry.stride,
        "padding": geometry.padding,
        "groups": geometry.groups,
    }
    assert torch.allclose(conv2d(x, w, geometry=geometry), nn.functional.conv2d(x, w, **options))
    wanted = nn.functional.conv_transpose2d(x, w, **options)
    assert torch.allclose(conv_transpose2d(x, w, geometry), wanted)


def test_the_activation_works_in_place_and_twice() -> None:
    x = drawn(3, 5).requires_grad_(True)
    for check in (gradcheck, gradgradcheck):
        assert check(lambda x: leaky_relu_(x * 1.0, 0.2), (x,))
    given = drawn(3, 5)
    assert leaky_relu_(given, 0.2) is given
    assert torch.equal(given, nn.functional.leaky_relu(drawn(3, 5), 0.2))


def slopes(network: nn.Module, penalty: Callable[[], Tensor]) -> dict[str, Tensor]:
    """Gradients of a penalty by all trained weights, zeros where there is none."""
    network.zero_grad(set_to_none=True)
    penalty().backward()  # type: ignore[no-untyped-call]
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for name, p in network.named_parameters()
        if p.requires_grad
    }


@pytest.mark.parametrize("images", [1, 2, 4])
def test_r1_has_the_gradients_of_the_published_formulation(images: int) -> None:
    network = discriminator()
    real = drawn(images, 3, 32, 32)
    found = slopes(network, lambda: r1_penalty(network, real).mean())
    with published_formulation():
        wanted = slopes(network, lambda: r1_penalty(network, real).mean())
    assert all(torch.allclose(found[name], slope, atol=1e-10) for name, slope in wanted.items())
    assert any(slope.any() for slope in wanted.values())


def test_path_length_has_the_gradients_of_the_published_formulation() -> None:
    torch.manual_seed(0)
    generator = StyleGAN2(32, style_dim=8, mapping_layers=2, channels=[8] * 4)
    network = DualStyleGAN(generator, 8).double()
    generator.compute_dtype = torch.double
    generator.requires_grad_(False)
    w, styles = (0.5 * drawn(2, generator.rows, 8) for _ in range(2))

    def penalty() -> Tensor:
        code = w.clone().requires_grad_(True)
        image = network(code, styles, space="w_plus")
        lengths = path_lengths(image, code, drawn(*image.shape))
        return (lengths - 1).square().mean()

    found = slopes(network, penalty)
    with published_formulation():
        wanted = slopes(network, penalty)
    assert all(torch.allclose(found[name], slope, atol=1e-10) for name, slope in wanted.items())
    assert any(slope.any() for slope in wanted.values())


def test_r1_of_an_image_costs_four_passes() -> None:
    """The picture, its gradient, that gradient's, and those of the weights; torch's own six."""
    network = discriminator(torch.float32)
    real = drawn(1, 3, 32, 32, dtype=torch.float32)

    def judge() -> None:
        with torch.no_grad():
            network(real)

    def penalise() -> None:
        r1_penalty(network, real).sum().backward()  # type: ignore[no-untyped-call]

    ours = operations(penalise) / operations(judge)
    with published_formulation():
        theirs = operations(penalise) / operations(judge)
    assert ours < 4.1
    assert theirs > 5.5


def test_r1_survives_bfloat16() -> None:
    """Its gradient points where that of float32 does, and is as long, as StyleGAN2-ADA relies on
    (Karras et al., 2020: its finest layers are in float16, penalties and all)."""
    network = discriminator(torch.float32)
    real = drawn(4, 3, 32, 32, dtype=torch.float32)
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        network.compute_dtype = dtype
        slope = slopes(network, lambda: r1_penalty(network, real).mean())
        found.append(torch.cat([value.flatten() for value in slope.values()]))
    plain, fast = found
    assert torch.cosine_similarity(plain, fast, 0) > 0.995
    assert abs(fast.norm() / plain.norm() - 1) < 0.03
