"""Small networks, stand-ins for the frozen networks, and trainings on them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dualstylegan import losses
from dualstylegan.finetuning.adapt import AdaptPlan, AdaptTraining
from dualstylegan.finetuning.discriminator import DiscriminatorPlan, DiscriminatorTrainer
from dualstylegan.finetuning.step import StepOptions
from dualstylegan.finetuning.structure import StructurePlan, StructureTraining
from dualstylegan.finetuning.style import StylePlan, StyleTraining
from dualstylegan.finetuning.trainer import RunPlan, Trainer, Training
from dualstylegan.networks.discriminator import Discriminator
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.stylegan2 import StyleGAN2

DIM, ROWS, SIZE = 8, 8, 32
PLAIN = StepOptions()


class Pyramid(nn.Module):
    """Stand-in for VGG and LPIPS: three feature maps and a distance on them; counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(7)
        widths = (3, 4, 4, 4)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in itertools.pairwise(widths))
        self.requires_grad_(False)
        self.calls = 0

    def features(self, x: Tensor, stages: int | None = None) -> list[Tensor]:
        self.calls += 1
        maps = []
        for conv in self.convs:
            x = conv(x).relu()
            maps.append(x)
        return maps

    def distance(self, first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
        return losses.perceptual(first, second, (1, 1, 1))


class Identity(nn.Module):
    """Stand-in for the face recognition network; records its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.detach())
        return nn.functional.normalize(x.mean((2, 3)) + 2, dim=1)

    def distance(self, first: Tensor, second: Tensor) -> Tensor:
        distance: Tensor = (first - second).norm(dim=-1)
        return distance


class Regions(Identity):
    """Stand-in of dlib's width, 128: brightness by region."""

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.detach())
        return nn.functional.adaptive_avg_pool2d(x, (8, 16)).mean(1).flatten(1)


class Encoder(nn.Module):
    """Stand-in for the encoder E; counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return torch.ones(len(x), ROWS, DIM)


def small_network() -> DualStyleGAN:
    """DualStyleGAN on a StyleGAN2 of 32 px."""
    torch.manual_seed(0)
    generator = StyleGAN2(SIZE, style_dim=DIM, mapping_layers=2, channels=[8] * 4)
    return DualStyleGAN(generator, 8)


def discriminator_trainer() -> DiscriminatorTrainer:
    torch.manual_seed(1)
    return DiscriminatorTrainer(
        Discriminator(SIZE, channels=[8] * 4), DiscriminatorPlan(augment=0.0)
    )


def style_training(
    network: DualStyleGAN,
    *,
    kind: Any = StyleTraining,
    identity: Identity | None = None,
    **changes: Any,
) -> Any:
    plan = StylePlan(
        batch=2, rate=0.002, adversarial=1.0, perceptual=1.0, contextual=0.25,
        matching=0.25, identity=1.0, distinction=0.5, content=0.5, tone=0.5, regular=0.015,
        regularise="mod_res", variety=0.5, mixing=0.9, truncation=0.7, jitter=0.1,
        panel_faces=2, panel_styles=3,
        step_options=PLAIN,
    )  # fmt: skip
    torch.manual_seed(2)
    portraits = torch.randn(4, 3, SIZE, SIZE)
    return kind(
        network, discriminator_trainer(), Pyramid(), identity or Identity(),
        lambda index: portraits[index], torch.randn(4, ROWS, DIM), torch.randn(4, ROWS, DIM),
        SIZE, replace(plan, **changes),
    )  # fmt: skip


def adapt_training(network: DualStyleGAN, **changes: Any) -> AdaptTraining:
    plan = AdaptPlan(
        batch=2, anchored=1, rate=0.002, adversarial_weight=1.0, anchor_weight=1.0,
        pixel_weight=1.0, truncation=0.7, mixing=0.9, step_options=PLAIN,
    )  # fmt: skip
    torch.manual_seed(4)
    portraits = torch.randn(4, 3, SIZE, SIZE)
    return AdaptTraining(
        network.generator, discriminator_trainer(), Pyramid(),  # type: ignore[arg-type]
        lambda index: portraits[index], torch.randn(4, ROWS, DIM), SIZE, replace(plan, **changes),
    )  # fmt: skip


def structure_training(
    network: DualStyleGAN, encoder: Encoder | None = None, step_options: StepOptions = PLAIN
) -> StructureTraining:
    plan = StructurePlan(
        batch=2, rate=0.002, phases=((7, 0), (6, 2), (5, 4)), encoded_steps=4,
        adversarial_weight=0.1, perceptual_weight=1.0, pixel_weight=1.0, truncation=0.7,
        step_options=step_options,
    )  # fmt: skip
    return StructureTraining(
        network, encoder or Encoder(), discriminator_trainer(), Pyramid(),  # type: ignore[arg-type]
        SIZE, plan,
    )  # fmt: skip


def trained(training: Training, tmp_path: Path, steps: int = 2) -> Trainer:
    plan = RunPlan(
        steps=steps, seed=3, average_decay=0.9, save_seconds=1e9, picture_steps=0, fingerprint="x"
    )
    trainer = Trainer(training, plan, tmp_path / "state.safetensors")
    trainer.run()
    return trainer
