"""Discriminator update (logistic loss, lazy R1, ADA) and the generator's adversarial loss.

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
from dualstylegan.networks import ranks
from dualstylegan.networks.discriminator import Discriminator

# Ranges of the augmentation: translation as a share of the image's width and height, brightness
# offset on [-1, 1], and relative change of saturation.
MAX_SHIFT = 0.125
MAX_BRIGHTNESS = 0.3
MAX_SATURATION = 0.5
BETAS = (0.0, 0.99)
# Rate of the running mean of sign D(x).
SIGN_RATE = 0.1
# Above this probability, augmentations leak into the generated images (ADA, section 2.2).
MAX_AUGMENT_PROBABILITY = 0.8


@dataclass(frozen=True)
class DiscriminatorPlan:
    """Settings of the discriminator's training.

    Attributes:
        rate: learning rate of Adam, before the correction for lazy regularisation.
        r1_weight: weight of R1, half of gamma.
        r1_steps: steps from one R1 penalty to the next (lazy regularisation).
        augment: augmentation probability p of real and fake images; with ADA its initial value.
        augment_target: E[sign D(x)] on real images that ADA steers p to (Karras et al., 2020,
            section 3.1), in [0, 1]; 0 keeps p constant.
        augment_images: number of real images over which ADA can move p from 0 to 1.
        weight: weight of D's logistic loss; R1 is not scaled by it.
    """

    rate: float = 0.002
    r1_weight: float = 5.0
    r1_steps: int = 16
    augment: float = 0.0
    augment_target: float = 0.0
    augment_images: int = 500_000
    weight: float = 1.0


@dataclass(frozen=True)
class Comparison:
    """Images of one pass that D compares.

    Attributes:
        real_NCHW: images from the target domain in [-1, 1].
        fake_NCHW: images from G in [-1, 1]; they get no gradients.
        rng: random generator of the pass, on the CPU.
    """

    real_NCHW: Tensor
    fake_NCHW: Tensor
    rng: torch.Generator


def lazy_adam(
    parameters: list[torch.nn.Parameter], rate: float, interval: int | None
) -> torch.optim.Adam:
    """Return Adam corrected for lazy regularisation (StyleGAN2, appendix B).

    With c = interval / (interval + 1), the learning rate is c * rate and the betas are beta^c.

    Args:
        interval: steps from one regularisation to the next; None without regularisation.
    """
    correction = interval / (interval + 1) if interval else 1.0
    betas = (BETAS[0] ** correction, BETAS[1] ** correction)
    return torch.optim.Adam(parameters, lr=rate * correction, betas=betas)


def augment(image_NCHW: Tensor, probability: Tensor, rng: torch.Generator) -> Tensor:
    """Shift, mirror and recolour images at random, differentiably (Zhao et al., 2020).

    Every image is mirrored with probability 1/2; translation, brightness and saturation change
    with the given probability.

    Args:
        image_NCHW: images in [-1, 1].
        probability: scalar in [0, 1] on the images' device.
        rng: random generator on the CPU.
    """
    n, device = len(image_NCHW), image_NCHW.device
    augmented = torch.rand(n, generator=rng).to(device) < probability
    shift = (2 * torch.rand(n, 2, generator=rng) - 1) * 2 * MAX_SHIFT
    mirror = 1 - 2 * (torch.rand(n, generator=rng) < 0.5).float()
    brightness = (2 * torch.rand(n, 1, 1, 1, generator=rng) - 1) * MAX_BRIGHTNESS
    saturation = 1 + (2 * torch.rand(n, 1, 1, 1, generator=rng) - 1) * MAX_SATURATION
    affine_N23 = torch.eye(2, 3, device=device).repeat(n, 1, 1)
    affine_N23[:, 0, 0] = mirror.to(device)
    affine_N23[:, :, 2] = shift.to(device) * augmented[:, None]
    grid = F.affine_grid(affine_N23, list(image_NCHW.shape), align_corners=False)
    moved = F.grid_sample(image_NCHW, grid, padding_mode="reflection", align_corners=False)
    gray = moved.mean(1, keepdim=True)
    recoloured = gray + (moved - gray) * saturation.to(device) + brightness.to(device)
    return torch.where(augmented.view(-1, 1, 1, 1), recoloured, moved)


class DiscriminatorTrainer:
    """Discriminator with its optimiser and augmentation: G's adversarial loss and D's update.

    Attributes:
        network: the discriminator; all of its parameters are trained.
        optimiser: Adam, corrected for lazy R1.
        augment: augmentation probability p, a scalar tensor.
        real_sign: running mean of sign D(x) on real images, the overfitting measure r_t of ADA.
        buffers: tensors of the training state beside weights and optimiser, updated in place.
    """

    def __init__(self, network: Discriminator, plan: DiscriminatorPlan) -> None:
        self.network = network.requires_grad_(True)
        self.plan = plan
        parameters = list(network.parameters())
        self.optimiser = lazy_adam(parameters, plan.rate, plan.r1_steps)
        device = parameters[0].device
        self.augment = torch.tensor(plan.augment, device=device)
        self.real_sign = torch.tensor(plan.augment_target, device=device)
        self.buffers = {"augment": self.augment, "right": self.real_sign}

    def generator_loss(self, fake_NCHW: Tensor, rng: torch.Generator) -> Tensor:
        """Return G's loss softplus(-D(fake)) of each image (N,), without gradients for D."""
        self.network.requires_grad_(False)
        logits = self.network(augment(fake_NCHW, self.augment, rng))
        self.network.requires_grad_(True)
        return generator_adversarial(logits)

    def begin(self, step: int, passes: int = 1) -> DiscriminatorUpdate:
        """Begin one optimiser step of D.

        Args:
            step: number of the step.
            passes: number of passes of all ranks, over which gradients and scalars are averaged.
        """
        return DiscriminatorUpdate(self, step, passes)

    def steer_augment(self, sign: Tensor, images: int) -> None:
        """Raise p while E[sign D(x)] exceeds its target, lower it below (ADA, section 3.1).

        The sign is averaged over steps, as a small batch gives a noisy estimate.
        """
        self.real_sign.lerp_(sign, SIGN_RATE)
        direction = (self.real_sign - self.plan.augment_target).sign()
        change = direction * images / self.plan.augment_images
        self.augment.add_(change).clamp_(0, MAX_AUGMENT_PROBABILITY)


class DiscriminatorUpdate:
    """One optimiser step of D in passes, with R1 every `r1_steps`.

    L_D = weight * (softplus(-D(real)) + softplus(D(fake))) + r1_weight * r1_steps * R1

    Args:
        trainer: D with its optimiser.
        step: number of the step.
        passes: number of passes of all ranks, over which gradients and scalars are averaged. The
            groups of the minibatch standard deviation lie within a pass.
    """

    def __init__(self, trainer: DiscriminatorTrainer, step: int, passes: int) -> None:
        self.trainer, self.passes = trainer, passes
        self.regularised = step % trainer.plan.r1_steps == 0
        self.gradients = ranks.GradientSum(trainer.network.parameters(), passes)
        self.rows: dict[int, dict[str, Tensor]] = {}
        self.images = 0

    def add(self, number: int, compared: Comparison) -> None:
        """Accumulate the gradients of a pass of this rank, by its number among those of all."""
        real = augment(compared.real_NCHW, self.trainer.augment, compared.rng)
        fake = augment(compared.fake_NCHW.detach(), self.trainer.augment, compared.rng)
        self.rows[number] = self._backward_adversarial(real, fake)
        # After the loss's backward pass, so that the two graphs never need memory at once.
        if self.regularised:
            self.rows[number]["d/r1"] = self._backward_r1(real)
        self.gradients.add()
        self.images = self.passes * len(real)

    def finish(self) -> dict[str, Tensor]:
        """Do the optimiser's step and ADA's; return scalars to log."""
        trainer = self.trainer
        self.gradients.finish()
        trainer.optimiser.step()
        trainer.optimiser.zero_grad(set_to_none=True)
        scalars = ranks.mean_over_passes(self.rows, self.passes)
        if trainer.plan.augment_target:
            trainer.steer_augment(scalars["d/right"], self.images)
        return scalars

    def _backward_adversarial(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Accumulate gradients of D's logistic loss on a pass; return scalars."""
        real_logits = self.trainer.network(real)
        loss = discriminator_adversarial(real_logits, self.trainer.network(fake)).mean()
        (self.trainer.plan.weight * loss / self.passes).backward()  # type: ignore[no-untyped-call]
        return {
            "d/adversarial": loss.detach(),
            "d/real": real_logits.detach().mean(),
            "d/right": real_logits.detach().sign().mean(),
            "d/augment": self.trainer.augment.clone(),
        }

    def _backward_r1(self, real: Tensor) -> Tensor:
        """Accumulate gradients of lazy R1 on a pass; return the mean of R1."""
        r1 = r1_penalty(self.trainer.network, real).mean()
        weight = self.trainer.plan.r1_weight * self.trainer.plan.r1_steps / self.passes
        (weight * r1).backward()  # type: ignore[no-untyped-call]
        return r1.detach()
