"""The discriminator's side of every adversarial training, and what its judgement costs G.

Legend of shape suffixes: N image, C channel, H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from dualstylegan.losses import (
    discriminator_adversarial,
    generator_adversarial,
    r1_penalty,
)
from dualstylegan.networks.discriminator import Discriminator

SHIFT = 0.125
LIGHT = 0.3
SATURATION = 0.5
BETAS = (0.0, 0.99)


@dataclass(frozen=True)
class AdversaryPlan:
    """Settings of the discriminator's training.

    Attributes:
        rate: learning rate before the correction for lazy regularisation.
        r1_weight: weight of R1 (gamma is twice it).
        r1_steps: steps between two R1 penalties (lazy regularisation).
        augment: probability that an image shown to D is moved and relit; real and fake alike.
        weight: of D's logistic loss beside R1.
    """

    rate: float = 0.002
    r1_weight: float = 5.0
    r1_steps: int = 16
    augment: float = 0.5
    weight: float = 1.0


def lazy_adam(
    parameters: list[torch.nn.Parameter], rate: float, interval: int | None
) -> torch.optim.Adam:
    """Adam for lazy regularisation every `interval` steps (StyleGAN2, appendix B)."""
    share = interval / (interval + 1) if interval else 1.0
    betas = (BETAS[0] ** share, BETAS[1] ** share)
    return torch.optim.Adam(parameters, lr=rate * share, betas=betas)


def augment(image_NCHW: Tensor, probability: float, draw: torch.Generator) -> Tensor:
    """Move and relight a share of the images, differentiably (Zhao et al., 2020)."""
    n = len(image_NCHW)
    chosen = (torch.rand(n, generator=draw) < probability).float()
    shift = (2 * torch.rand(n, 2, generator=draw) - 1) * 2 * SHIFT * chosen[:, None]
    mirror = 1 - 2 * (torch.rand(n, generator=draw) < 0.5).float()
    light = (2 * torch.rand(n, 1, 1, 1, generator=draw) - 1) * LIGHT
    saturation = 1 + (2 * torch.rand(n, 1, 1, 1, generator=draw) - 1) * SATURATION
    device = image_NCHW.device
    zero = torch.zeros(n)
    affine = torch.stack((mirror, zero, shift[:, 0], zero, torch.ones(n), shift[:, 1]), 1).view(
        n, 2, 3
    )
    grid = F.affine_grid(affine.to(device), list(image_NCHW.shape), align_corners=False)
    moved = F.grid_sample(image_NCHW, grid, padding_mode="reflection", align_corners=False)
    gray = moved.mean(1, keepdim=True)
    relit = gray + (moved - gray) * saturation.to(device) + light.to(device)
    return torch.where(chosen.view(-1, 1, 1, 1).to(device) > 0, relit, moved)


class Adversary:
    """A discriminator, its optimiser and its lessons."""

    def __init__(self, discriminator: Discriminator, plan: AdversaryPlan) -> None:
        self.discriminator = discriminator.requires_grad_(True)
        self.plan = plan
        parameters = list(discriminator.parameters())
        self.optimiser = lazy_adam(parameters, plan.rate, plan.r1_steps)

    def judge(self, fake_NCHW: Tensor, draw: torch.Generator) -> Tensor:
        """The generator's adversarial loss (N,); leaves D's weights without gradients."""
        self.discriminator.requires_grad_(False)
        logits = self.discriminator(augment(fake_NCHW, self.plan.augment, draw))
        self.discriminator.requires_grad_(True)
        return generator_adversarial(logits)

    def learn(
        self,
        real_NCHW: Tensor,
        fake_NCHW: Tensor,
        step: int,
        draw: torch.Generator,
        passes: int = 1,
    ) -> dict[str, Tensor]:
        """One step of D on real and fake images, R1 as well when it is due.

        Args:
            passes: parts that the batch is cut into, their gradients averaged. Every `passes`-th
                image goes into one part: with four images a part, these are the groups of the
                minibatch deviation, and the gradients are those of the whole batch.
        """
        real = augment(real_NCHW, self.plan.augment, draw)
        fake = augment(fake_NCHW.detach(), self.plan.augment, draw)
        self.optimiser.zero_grad(set_to_none=True)
        parts = []
        for part in range(passes):
            loss, scalars = self._judgement(real[part::passes], fake[part::passes], step)
            (loss / passes).backward()  # type: ignore[no-untyped-call]
            parts.append(scalars)
        self.optimiser.step()
        return {name: torch.stack([part[name] for part in parts]).mean() for name in parts[0]}

    def _judgement(self, real: Tensor, fake: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """D's loss on some images, and what to log of it."""
        real_logits = self.discriminator(real)
        loss = discriminator_adversarial(real_logits, self.discriminator(fake)).mean()
        scalars = {"d/adversarial": loss.detach(), "d/real": real_logits.detach().mean()}
        loss = self.plan.weight * loss
        if step % self.plan.r1_steps == 0:
            r1 = self._r1(real)
            loss = loss + self.plan.r1_weight * self.plan.r1_steps * r1
            scalars["d/r1"] = r1.detach()
        return loss, scalars

    def _r1(self, real_NCHW: Tensor) -> Tensor:
        """R1 in float32: second derivatives do not survive bfloat16."""
        dtype = self.discriminator.compute_dtype
        self.discriminator.compute_dtype = torch.float32
        penalty = r1_penalty(self.discriminator, real_NCHW).mean()
        self.discriminator.compute_dtype = dtype
        return penalty
