"""Adaptation of g to g': trained and frozen parts, learning rates, sample grids."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from dualstylegan.finetuning.adapt import relative_adam
from dualstylegan.finetuning.step import StepOptions
from dualstylegan.finetuning.trainer import RunPlan, Trainer
from dualstylegan.networks.dualstylegan import DualStyleGAN
from tests.support.trainings import (
    adapt_training,
    small_network,
    trained,
)


@pytest.fixture
def network() -> DualStyleGAN:
    return small_network()


def test_codes_keep_their_meaning_while_g_becomes_the_styles(
    network: DualStyleGAN, tmp_path: Path
) -> None:
    """The mapping network stays as it was; the synthesis network learns the exemplars."""
    before = {k: v.clone() for k, v in network.generator.state_dict().items()}
    trainer = trained(adapt_training(network), tmp_path, steps=12)
    after = trainer.averaged_state()
    moved = {k for k, v in before.items() if not torch.equal(after[k], v)}
    assert not any(key.startswith("style.") for key in moved)
    assert {"conv1.conv.weight", "to_rgb1.bias"} <= moved
    anchors = [row["g/anchor"] for row in trainer.history]
    assert sum(anchors[-3:]) < sum(anchors[:3])


def test_the_published_adaptation_is_adversarial_alone(network: DualStyleGAN) -> None:
    training = adapt_training(
        network, anchored=0, step_options=StepOptions(accumulation=2, path_weight=2.0)
    )
    scalars = training.step(0, torch.Generator().manual_seed(0))
    assert {key for key in scalars if key.startswith("g/")} == {"g/adversarial"}
    assert float(training.path_mean) > 0


def test_steps_are_relative_to_each_weight_where_scales_are_folded_in() -> None:
    """A rate of one per cent moves a weight of any size by one per cent."""
    parameters = [torch.nn.Parameter(torch.full((3,), size)) for size in (0.1, 1.0, 50.0)]
    before = [p.detach().clone() for p in parameters]
    optimiser = relative_adam(parameters, 0.01)
    sum(p.sum() for p in parameters).backward()  # type: ignore[union-attr]
    optimiser.step()
    for p, was in zip(parameters, before, strict=True):
        assert torch.allclose((was - p.detach()) / was, torch.full((3,), 0.01), rtol=1e-3)


def test_pictures_show_the_averages_and_leave_training_as_it_was(tmp_path: Path) -> None:
    torch.manual_seed(0)
    plain = adapt_training(small_network())
    trained(plain, tmp_path / "plain", steps=3)
    torch.manual_seed(0)
    shown = adapt_training(small_network())
    plan = RunPlan(3, 3, 0.9, 1e9, 1, "x")
    seen = []
    trainer = Trainer(shown, plan, tmp_path / "state.safetensors")

    def note(step: int, picture: Image.Image) -> None:
        weights = dict(shown.modules[shown.averaged].named_parameters())
        seen.append(all(torch.equal(weights[k], v) for k, v in trainer.average.items()))

    trainer.on_picture = note
    trainer.run()
    assert seen == [True] * 3
    ours, theirs = (t.modules[t.averaged].state_dict() for t in (shown, plain))
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())
