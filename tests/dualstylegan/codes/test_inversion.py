"""Inversion: optimised codes render their images, each independent of the batch."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from dualstylegan.codes.inversion import (
    LatentOptimizer,
    OptimizationSchedule,
    encode,
    invert,
    optimize_latents,
)
from dualstylegan.networks.generator import Space
from dualstylegan.networks.stylegan2 import StyleGAN2
from tests.support.trainings import Encoder, Pyramid

DIM, SIZE = 8, 32


@pytest.fixture(scope="module")
def generator() -> StyleGAN2:
    torch.manual_seed(0)
    built = StyleGAN2(SIZE, style_dim=DIM, mapping_layers=2, channels=[8] * 4)
    return built.eval().requires_grad_(False)


def images(generator: StyleGAN2, count: int) -> Tensor:
    z = torch.randn(count, DIM, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return generator(z)  # type: ignore[no-any-return]


@pytest.mark.parametrize("space", ["z_plus", "w_plus"])
def test_codes_are_found_that_render_the_images(generator: StyleGAN2, space: Space) -> None:
    wanted = images(generator, 2)
    start = torch.zeros(2, generator.rows, DIM) + 0.1
    found = invert(
        generator, Pyramid(), wanted, start,  # type: ignore[arg-type]
        OptimizationSchedule(60), space=space, rate=0.1, pixel_weight=1.0,
    )  # fmt: skip
    assert found.latents[0].shape == start.shape
    assert bool((found.loss_N < 0.7 * found.initial_loss_N).all())
    rendered = generator(found.latents[0], space)
    began = generator(start, space)
    assert (rendered - wanted).abs().mean() < 0.7 * (began - wanted).abs().mean()


def test_the_best_code_is_kept_whatever_comes_after(generator: StyleGAN2) -> None:
    """A rate far too high makes things worse; the start is then the best."""
    wanted = images(generator, 1)
    start = torch.randn(1, generator.rows, DIM)
    found = invert(
        generator, Pyramid(), wanted, start,  # type: ignore[arg-type]
        OptimizationSchedule(5), space="w_plus", rate=1e4, pixel_weight=1.0,
    )  # fmt: skip
    assert bool((found.loss_N <= found.initial_loss_N).all())


def test_encoding_needs_no_gradients() -> None:
    assert not encode(Encoder(), torch.zeros(2, 3, 8, 8)).requires_grad


def test_each_image_stops_when_it_has_converged() -> None:
    """The first has nothing to gain and stays where it is; the second goes on, then all end."""
    seen: list[Tensor] = []

    def objective(latents: Sequence[Tensor]) -> Tensor:
        seen.append(latents[0].detach().clone())
        return latents[0].square().sum(1) * torch.tensor([0.0, 1.0]) + 1

    plan = OptimizationSchedule(steps=400, patience=5)
    found = optimize_latents([torch.full((2, 1), 3.0)], [0.2], objective, plan)
    assert found.steps_N[0] < found.steps_N[1] < len(seen) < plan.steps
    assert all(torch.equal(x[0], seen[-1][0]) for x in seen[plan.patience + 1 :])
    assert not torch.equal(seen[-1][1], seen[plan.patience + 1][1])
    assert found.loss_N[1] < found.initial_loss_N[1]


def test_steps_are_those_of_torchs_adam() -> None:
    """The same latents and losses as torch's own optimiser, under the same rates."""
    plan = OptimizationSchedule(steps=6)
    start = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))

    def objective(latents: Sequence[Tensor]) -> Tensor:
        return (latents[0] - 1).abs().sum(1) + latents[0].square().sum(1)

    code = start.clone().requires_grad_(True)
    adam = torch.optim.Adam([code])
    for step in range(plan.steps):
        adam.param_groups[0]["lr"] = 0.1 * plan.rate(step)
        adam.zero_grad()
        objective([code]).sum().backward()  # type: ignore[no-untyped-call]
        adam.step()
    found = optimize_latents([start], [0.1], objective, plan)
    assert torch.allclose(found.latents[0], code.detach(), atol=1e-6)


def test_a_step_has_fixed_shapes_and_waits_for_no_number(generator: StyleGAN2) -> None:
    """Tensors without values cannot be asked for any: what would end a CUDA graph raises here."""
    generator = copy.deepcopy(generator)  # what is made of its weights has no values either
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        wanted = mode.from_tensor(images(generator, 2))
        start = mode.from_tensor(torch.zeros(2, generator.rows, DIM))

        def objective(latents: Sequence[Tensor]) -> Tensor:
            loss: Tensor = (generator(latents[0], "z_plus") - wanted).abs().mean((1, 2, 3))
            return loss

        state = LatentOptimizer(
            [start], [0.1], objective, OptimizationSchedule(steps=4, patience=2)
        )
        state.advance()
        with pytest.raises(DataDependentOutputException):
            bool(state.active_N.any())


@pytest.mark.parametrize("steps", [1, 7, 300])
def test_the_rate_rises_stays_and_falls_and_is_never_zero(steps: int) -> None:
    plan = OptimizationSchedule(steps)
    rates = [plan.rate(step) for step in range(steps)]
    assert all(0 < rate <= 1 for rate in rates)
    if steps == 300:
        assert math.isclose(max(rates), 1)
        assert rates[0] < 0.1
        assert rates[-1] < 0.01
