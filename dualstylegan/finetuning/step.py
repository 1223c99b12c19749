"""Adversarial training step: accumulated passes of G, path length regularisation, update of D.

Legend of shape suffixes: N image, L row, D style width, C channel, H height, W width.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from dualstylegan.finetuning.discriminator import Comparison, DiscriminatorTrainer
from dualstylegan.finetuning.trainer import Training
from dualstylegan.losses import path_lengths
from dualstylegan.networks import ranks
from dualstylegan.networks.threads import beside

# Rate of the running mean of path lengths, a (StyleGAN2, section 3.2).
PATH_MEAN_RATE = 0.01


@dataclass(frozen=True)
class Pass:
    """Result of one forward pass of G.

    Attributes:
        fake_NCHW, real_NCHW: images that D compares, in [-1, 1].
        terms: weighted terms of G's loss, which is their sum.
        metrics: scalars that are logged beside the terms and add nothing to the loss.
    """

    fake_NCHW: Tensor
    real_NCHW: Tensor
    terms: dict[str, Tensor]
    metrics: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class StepOptions:
    """Gradient accumulation and path length regularisation, shared by all adversarial trainings.

    Attributes:
        accumulation: passes per step, their gradients averaged; ranks share them out.
        path_weight: weight of path length regularisation; 0 turns it off.
        path_steps: steps from one path length penalty to the next (lazy regularisation).
    """

    accumulation: int = 1
    path_weight: float = 0.0
    path_steps: int = 4

    @property
    def interval(self) -> int | None:
        """Steps from one path length penalty to the next; None if it is off."""
        return self.path_steps if self.path_weight else None


class AdversarialTraining(Training):
    """Training whose step is: passes of G, path length when it is due, then D's update.

    Args:
        averaged: name of G in the saved state.
        network: G, the network to train.
        optimiser: optimiser of the network's trained parameters.
        discriminator: D with its optimiser.
        step_options: gradient accumulation and path length regularisation.
    """

    def __init__(
        self,
        averaged: str,
        network: nn.Module,
        optimiser: torch.optim.Optimizer,
        discriminator: DiscriminatorTrainer,
        step_options: StepOptions,
    ) -> None:
        self.averaged = averaged
        self.optimiser = optimiser
        self.discriminator = discriminator
        self.step_options = step_options
        self.device = next(network.parameters()).device
        self.path_mean = torch.zeros((), device=self.device)
        self.buffers = {"path_mean": self.path_mean, **discriminator.buffers}
        self.modules = {averaged: network, "discriminator": discriminator.network}
        self.optimisers = {averaged: optimiser, "discriminator": discriminator.optimiser}

    @abstractmethod
    def make_pass(self, step: int, rng: torch.Generator) -> Pass:
        """Render a batch and weight its loss terms; each pass draws a batch of its own."""

    @abstractmethod
    def path_image(self, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Render half a batch from W+ codes (N, L, D) with gradients; return images and codes."""

    def kind(self, step: int) -> str:
        """Return the prefix that a step's terms are logged under."""
        return "g"

    def step(self, step: int, rng: torch.Generator) -> dict[str, Tensor]:
        passes = self.step_options.accumulation
        own = ranks.own_passes(pass_generators(rng, passes))
        parameters = (p for group in self.optimiser.param_groups for p in group["params"])
        gradients = ranks.GradientSum(parameters, passes)
        update = self.discriminator.begin(step, passes)
        rows = {}
        for number, draws in own.items():
            result = self.make_pass(step, draws)
            loss = torch.stack(list(result.terms.values())).sum() / passes
            compared = Comparison(result.real_NCHW, result.fake_NCHW.detach(), draws)
            # Both need D as it is before its update, and neither needs the other's gradients.
            beside(loss.backward, partial(update.add, number, compared), self.device)
            gradients.add()
            rows[number] = {k: v.detach() for k, v in (result.terms | result.metrics).items()}
        if self.step_options.path_weight and step % self.step_options.path_steps == 0:
            self._backward_path_length(own, passes, gradients)
        gradients.finish()
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        scalars = update.finish()
        means = ranks.mean_over_passes(rows, passes)
        return {**{f"{self.kind(step)}/{k}": v for k, v in means.items()}, **scalars}

    def noise(self, *shape: int, rng: torch.Generator) -> Tensor:
        """Return standard normal numbers, drawn on the CPU and moved to the device."""
        return torch.randn(*shape, generator=rng).to(self.device)

    def _backward_path_length(
        self, own: Mapping[int, torch.Generator], passes: int, gradients: ranks.GradientSum
    ) -> None:
        """Accumulate gradients of path length regularisation (StyleGAN2, section 3.2).

        path_weight * path_steps * mean (||J_w^T y||_2 - a)^2, with a the running mean of lengths.
        As on the published eight GPUs, each pass moves a by its own lengths, and their mean stays.
        """
        means = {}
        for number, draws in own.items():
            image, w_NLD = self.path_image(draws)
            lengths = path_lengths(image, w_NLD, self.noise(*image.shape, rng=draws))
            mean = self.path_mean.lerp(lengths.detach().mean(), PATH_MEAN_RATE)
            penalty = (lengths - mean).square().mean()
            weight = self.step_options.path_weight * self.step_options.path_steps / passes
            (weight * penalty).backward()  # type: ignore[no-untyped-call]
            gradients.add()
            means[number] = {"path_mean": mean}
        self.path_mean.copy_(ranks.mean_over_passes(means, passes)["path_mean"])


def pass_generators(rng: torch.Generator, passes: int) -> list[torch.Generator]:
    """Return a random generator per pass, the same whoever computes the pass; `rng` is the first.

    torch's generator keeps the lower 32 bits of a seed.
    """
    seeds = [int(torch.randint(1 << 32, (), generator=rng)) for _ in range(passes - 1)]
    return [rng, *(torch.Generator().manual_seed(seed) for seed in seeds)]
