"""The step that all three trainings of the method share: passes, their sum, and D's turn.

Legend of shape suffixes: N image, L row, D style width, C channel, H height, W width.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from dualstylegan.finetuning.discriminator import Adversary
from dualstylegan.finetuning.trainer import Training
from dualstylegan.losses import path_lengths

PATH_MEAN_RATE = 0.01


@dataclass(frozen=True)
class Pass:
    """What one pass made: fakes, what D compares them with, and the weighted terms of G's loss.

    `noted` is logged beside the terms and adds nothing to the loss.
    """

    fake_NCHW: Tensor
    real_NCHW: Tensor
    terms: dict[str, Tensor]
    noted: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Lazy:
    """Settings that all adversarial trainings share.

    Attributes:
        accumulation: passes a step, their gradients averaged.
        path_weight, path_steps: path length regularisation and steps between; a weight of 0 is off.
    """

    accumulation: int = 1
    path_weight: float = 0.0
    path_steps: int = 4

    @property
    def interval(self) -> int | None:
        """Steps between two path length penalties, if there are any."""
        return self.path_steps if self.path_weight else None


class AdversarialTraining(Training):
    """A training whose step is: passes, path length when it is due, then D's lesson.

    Args:
        averaged: name of the network among what is saved.
        network: what is trained.
        optimiser: over the network's trained parameters.
        adversary: the other side.
        lazy: see there.
    """

    def __init__(
        self,
        averaged: str,
        network: nn.Module,
        optimiser: torch.optim.Optimizer,
        adversary: Adversary,
        lazy: Lazy,
    ) -> None:
        self.averaged = averaged
        self.optimiser = optimiser
        self.adversary = adversary
        self.lazy = lazy
        self.device = next(network.parameters()).device
        self.path_mean = torch.zeros((), device=self.device)
        self.memory = {"path_mean": self.path_mean, **adversary.memory}
        self.modules = {averaged: network, "discriminator": adversary.discriminator}
        self.optimisers = {averaged: optimiser, "discriminator": adversary.optimiser}

    @abstractmethod
    def make_pass(self, step: int, draw: torch.Generator) -> Pass:
        """Render a batch and weigh its terms; each pass draws anew."""

    @abstractmethod
    def path_image(self, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        """An image of half a batch and the W+ codes (N, L, D), with gradients, it is made of."""

    def kind(self, step: int) -> str:
        """What the terms of a step are logged under."""
        return "g"

    def step(self, step: int, draw: torch.Generator) -> dict[str, Tensor]:
        count = self.lazy.accumulation
        fakes, reals, logged = [], [], []
        for _ in range(count):
            made = self.make_pass(step, draw)
            loss = torch.stack(list(made.terms.values())).sum() / count
            loss.backward()  # type: ignore[no-untyped-call]
            fakes.append(made.fake_NCHW.detach())
            reals.append(made.real_NCHW)
            logged.append({k: v.detach() for k, v in (made.terms | made.noted).items()})
        if self.lazy.path_weight and step % self.lazy.path_steps == 0:
            self._regularise_path(draw)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)  # D's turn has the memory
        scalars = self.adversary.learn(torch.cat(reals), torch.cat(fakes), step, draw, count)
        means = {k: torch.stack([terms[k] for terms in logged]).mean() for k in logged[0]}
        return {**{f"{self.kind(step)}/{k}": v for k, v in means.items()}, **scalars}

    def noise(self, *shape: int, draw: torch.Generator) -> Tensor:
        """Standard normal numbers, drawn on the CPU."""
        return torch.randn(*shape, generator=draw).to(self.device)

    def _regularise_path(self, draw: torch.Generator) -> None:
        """Path length regularisation (StyleGAN2, section 3.2), with a draw of its own."""
        image, w_NLD = self.path_image(draw)
        lengths = path_lengths(image, w_NLD, self.noise(*image.shape, draw=draw))
        self.path_mean.lerp_(lengths.detach().mean(), PATH_MEAN_RATE)
        penalty = (lengths - self.path_mean).square().mean()
        (self.lazy.path_weight * self.lazy.path_steps * penalty).backward()  # type: ignore[no-untyped-call]
