"""Speed is measured against formulations that compute the same outputs and gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.curves import deviations, precise, training_curves
from benchmarks.published_steps import PublishedStyle
from benchmarks.reference import published_formulation
from benchmarks.speed import GROUPS
from dualstylegan.networks.discriminator import Discriminator
from dualstylegan.networks.stylegan2 import StyleGAN2
from tasks.shared.floor import operations
from tests.support.trainings import small_network, style_training


def test_the_published_formulation_gives_the_same_images_and_gradients() -> None:
    torch.manual_seed(0)
    generator = StyleGAN2(64, style_dim=16, mapping_layers=2, channels=[8, 8, 8, 8, 4]).double()
    generator.compute_dtype = torch.double
    discriminator = Discriminator(64, channels=[8] * 5).double()
    discriminator.compute_dtype = torch.double
    w_NLD = torch.randn(3, generator.rows, 16, dtype=torch.double)

    def both() -> tuple[torch.Tensor, torch.Tensor]:
        code = w_NLD.clone().requires_grad_(True)
        image = generator.synthesise(code)
        (gradient,) = torch.autograd.grad(discriminator(image).sum(), code)
        return image.detach(), gradient

    image, gradient = both()
    with published_formulation():
        theirs, slope = both()
    assert torch.allclose(image, theirs, atol=1e-9)
    assert torch.allclose(gradient, slope, atol=1e-9)
    again, _ = both()
    assert torch.equal(again, image)


# Without the terms and the variety of faces that the paper does not have.
PAPER: dict[str, Any] = {"content": 0.0, "tone": 0.0, "variety": 0.0}


def published() -> PublishedStyle:
    """Stage 3 on the small network with the published step."""
    training: PublishedStyle = style_training(small_network(), kind=PublishedStyle, **PAPER)
    return training


def test_a_published_step_of_stage_3_comes_to_the_same_numbers() -> None:
    """D sees pictures rendered once more; the weights of g get gradients that nobody uses."""
    ours, theirs = style_training(small_network(), **PAPER), published()
    for step in range(3):
        found, wanted = (
            training.step(step, torch.Generator().manual_seed(step)) for training in (ours, theirs)
        )
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():
            assert torch.allclose(found[name], value, rtol=1e-3, atol=1e-4), name


def test_thirty_fast_steps_have_the_losses_of_plain_ones() -> None:
    """bfloat16 maps against the published formulation in float32, stage 3.

    The first steps, before the runs can part, within 3 %; what G and D learn by, over thirty steps,
    within 15 %: two runs in float32 that differ by the order of sums alone are 10 % apart by then.
    """
    fast, plain = style_training(small_network(), **PAPER), published()
    precise((fast.network, fast.discriminator.network), True)
    found, wanted = (training_curves(training, 30) for training in (fast, plain))
    for name, values in wanted.items():
        assert abs(found[name][0] - values[0]) < 0.03 * abs(values[0]) + 0.005, name
    learnt = ("unpaired/adversarial", "paired/adversarial", "paired/perceptual", "d/adversarial")
    apart = deviations(found, {name: wanted[name] for name in learnt})
    assert max(apart.values()) < 0.15, apart
    broken = {name: [1.3 * value for value in values] for name, values in found.items()}
    assert max(deviations(broken, wanted).values()) > 0.15


def test_operations_are_those_that_torch_counts() -> None:
    generator = StyleGAN2(32, style_dim=8, mapping_layers=2, channels=[8] * 4)
    generator.requires_grad_(False)

    def work() -> None:
        code = torch.ones(2, generator.rows, 8, requires_grad=True)
        generator.synthesise(code).sum().backward()  # type: ignore[no-untyped-call]

    with FlopCounterMode(display=False) as counter:
        work()
    assert operations(work) == counter.get_total_flops()


def test_every_row_of_the_table_has_a_name_of_its_own() -> None:
    names = [row.name for rows in GROUPS.values() for row in rows()]
    assert len(names) == len(set(names)) > 25
