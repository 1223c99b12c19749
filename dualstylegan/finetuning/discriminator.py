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
RIGHT_RATE = 0.1
# Beyond it, augmentations leak into what G makes (ADA, section 2.2).
MOST_AUGMENTED = 0.8


@dataclass(frozen=True)
class AdversaryPlan:
    """Settings of the discriminator's training.

    Attributes:
        rate: learning rate before the correction for lazy regularisation.
        r1_weight: weight of R1 (gamma is twice it).
        r1_steps: steps between two R1 penalties (lazy regularisation).
        augment: probability p that an image shown to D is moved and relit, real and fake alike;
            where p is steered, the first.
        augment_target: share by which D is right about real images, E[sign D(x)], to which p is
            steered (ADA: Karras et al., 2020, section 3.1); 0 leaves p as it is.
        augment_images: images that D sees while p goes from 0 to 1.
        weight: of D's logistic loss beside R1.
    """

    rate: float = 0.002
    r1_weight: float = 5.0
    r1_steps: int = 16
    augment: float = 0.5
    augment_target: float = 0.0
    augment_images: int = 500_000
    weight: float = 1.0


def lazy_adam(
    parameters: list[torch.nn.Parameter], rate: float, interval: int | None
) -> torch.optim.Adam:
    """Adam for lazy regularisation every `interval` steps (StyleGAN2, appendix B)."""
    share = interval / (interval + 1) if interval else 1.0
    betas = (BETAS[0] ** share, BETAS[1] ** share)
    return torch.optim.Adam(parameters, lr=rate * share, betas=betas)


def augment(image_NCHW: Tensor, probability: Tensor, draw: torch.Generator) -> Tensor:
    """Move and relight a share of the images, differentiably (Zhao et al., 2020).

    Args:
        probability: of each image, a scalar on the images' device.
    """
    n, device = len(image_NCHW), image_NCHW.device
    chosen = torch.rand(n, generator=draw).to(device) < probability
    shift = (2 * torch.rand(n, 2, generator=draw) - 1) * 2 * SHIFT
    mirror = 1 - 2 * (torch.rand(n, generator=draw) < 0.5).float()
    light = (2 * torch.rand(n, 1, 1, 1, generator=draw) - 1) * LIGHT
    saturation = 1 + (2 * torch.rand(n, 1, 1, 1, generator=draw) - 1) * SATURATION
    affine_N23 = torch.eye(2, 3, device=device).repeat(n, 1, 1)
    affine_N23[:, 0, 0] = mirror.to(device)
    affine_N23[:, :, 2] = shift.to(device) * chosen[:, None]
    grid = F.affine_grid(affine_N23, list(image_NCHW.shape), align_corners=False)
    moved = F.grid_sample(image_NCHW, grid, padding_mode="reflection", align_corners=False)
    gray = moved.mean(1, keepdim=True)
    relit = gray + (moved - gray) * saturation.to(device) + light.to(device)
    return torch.where(chosen.view(-1, 1, 1, 1), relit, moved)


class Adversary:
    """A discriminator, its optimiser and its lessons."""

    def __init__(self, discriminator: Discriminator, plan: AdversaryPlan) -> None:
        self.discriminator = discriminator.requires_grad_(True)
        self.plan = plan
        parameters = list(discriminator.parameters())
        self.optimiser = lazy_adam(parameters, plan.rate, plan.r1_steps)
        device = parameters[0].device
        self.augment = torch.tensor(plan.augment, device=device)
        self.right = torch.tensor(plan.augment_target, device=device)
        self.memory = {"augment": self.augment, "right": self.right}

    def judge(self, fake_NCHW: Tensor, draw: torch.Generator) -> Tensor:
        """The generator's adversarial loss (N,); leaves D's weights without gradients."""
        self.discriminator.requires_grad_(False)
        logits = self.discriminator(augment(fake_NCHW, self.augment, draw))
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
        real = augment(real_NCHW, self.augment, draw)
        fake = augment(fake_NCHW.detach(), self.augment, draw)
        parts = []
        for part in range(passes):
            scalars = self._judged(real[part::passes], fake[part::passes], passes)
            if step % self.plan.r1_steps == 0:
                scalars["d/r1"] = self._regularised(real[part::passes], passes)
            parts.append(scalars)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)  # G's turn has the memory
        scalars = {name: torch.stack([part[name] for part in parts]).mean() for name in parts[0]}
        if self.plan.augment_target:
            self._steer(scalars["d/right"], len(real))
        return scalars

    def _judged(self, real: Tensor, fake: Tensor, passes: int) -> dict[str, Tensor]:
        """Gradients of D's logistic loss on a part of the batch, and what to log of it."""
        real_logits = self.discriminator(real)
        loss = discriminator_adversarial(real_logits, self.discriminator(fake)).mean()
        (self.plan.weight * loss / passes).backward()  # type: ignore[no-untyped-call]
        return {
            "d/adversarial": loss.detach(),
            "d/real": real_logits.detach().mean(),
            "d/right": real_logits.detach().sign().mean(),
            "d/augment": self.augment.clone(),
        }

    def _regularised(self, real: Tensor, passes: int) -> Tensor:
        """Gradients of lazy R1 on a part of the batch, and R1; after those of the loss, so that
        the two do not need memory at once."""
        r1 = r1_penalty(self.discriminator, real).mean()
        weight = self.plan.r1_weight * self.plan.r1_steps / passes
        (weight * r1).backward()  # type: ignore[no-untyped-call]
        return r1.detach()

    def _steer(self, right: Tensor, images: int) -> None:
        """More augmentation while D is right about real images too often, and less again (ADA).

        D's answers are averaged over some steps, as a batch of two says little.
        """
        self.right.lerp_(right, RIGHT_RATE)
        change = (self.right - self.plan.augment_target).sign() * images / self.plan.augment_images
        self.augment.add_(change).clamp_(0, MOST_AUGMENTED)
