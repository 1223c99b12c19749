"""The steps of the published trainings on our weights and draws, beside which ours are timed.

Legend of shape suffixes: N image, L row, D style width, C channel, H height, W width.

What is published: the generator's weights get gradients that nobody uses; D is shown pictures that
are rendered once more for it; VGG goes to its last layer; stage 2 encodes in every step and uses
the code in one of four. Codes are those of our own step, so that both sides of stage 3 come to the
same numbers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmarks.reference import published_formulation
from dualstylegan.codes.inversion import encode
from dualstylegan.finetuning.adapt import AdaptTraining
from dualstylegan.finetuning.discriminator import DiscriminatorTrainer
from dualstylegan.finetuning.step import Pass
from dualstylegan.finetuning.structure import StructureTraining
from dualstylegan.finetuning.style import Batch, StyleTraining


class PublishedStep:
    """Mixed into a training: its step in the published formulation, all weights of G unfrozen."""

    generator: Any
    discriminator: DiscriminatorTrainer

    def step(self, step: int, rng: torch.Generator) -> dict[str, Tensor]:
        """One step; the gradients of the generator's own weights are thrown away."""
        self.generator.requires_grad_(True)
        with published_formulation():
            scalars: dict[str, Tensor] = super().step(step, rng)  # type: ignore[misc]
        for parameter in self.generator.parameters():
            parameter.grad = None
        return scalars


class PublishedStyle(PublishedStep, StyleTraining):
    """Stage 3, which computes the targets of fixed exemplars in every step."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._features.budget = self._identities.budget = 0

    def _terms(
        self, batch: Batch, rng: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        codes = batch.intrinsic_NLD, batch.extrinsic_NLD
        with torch.no_grad():
            shown: Tensor = self.network(*codes, space="w_plus", size=self.size)
        _, terms, metrics = super()._terms(batch, rng)
        return shown, terms, metrics


class PublishedStructure(PublishedStep, StructureTraining):
    """Stage 2."""

    @property
    def generator(self) -> Any:
        """g inside G."""
        return self.network.generator

    def make_pass(self, step: int, rng: torch.Generator) -> Pass:
        state = rng.get_state()
        with torch.no_grad():
            first, second = self._draw_faces(self.plan.batch, rng)
            if step % self.plan.encoded_steps:
                encode(self.encoder, self.generator.synthesise(second, size=self.size))
            shown = self.network(first, second, space="w_plus", size=self.size)
        rng.set_state(state)
        made = super().make_pass(step, rng)
        return Pass(shown, made.real_NCHW, made.terms)


class PublishedAdapt(PublishedStep, AdaptTraining):
    """g to g'."""

    def make_pass(self, step: int, rng: torch.Generator) -> Pass:
        made = super().make_pass(step, rng)
        with torch.no_grad():
            shown = self.generator.synthesise(
                self._random_codes(self.plan.batch, rng), size=self.size
            )
        return Pass(shown, made.real_NCHW, made.terms)
