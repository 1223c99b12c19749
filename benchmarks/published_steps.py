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
from dualstylegan.finetuning.discriminator import Adversary
from dualstylegan.finetuning.step import Pass
from dualstylegan.finetuning.structure import StructureTraining
from dualstylegan.finetuning.style import Lesson, StyleTraining


class PublishedStep:
    """Mixed into a training: its step in the published formulation, all weights of G unfrozen."""

    generator: Any
    adversary: Adversary

    def step(self, step: int, draw: torch.Generator) -> dict[str, Tensor]:
        """One step; the gradients of the generator's own weights are thrown away."""
        self.generator.requires_grad_(True)
        with published_formulation():
            scalars: dict[str, Tensor] = super().step(step, draw)  # type: ignore[misc]
        for parameter in self.generator.parameters():
            parameter.grad = None
        return scalars


class PublishedStyle(PublishedStep, StyleTraining):
    """Stage 3."""

    def _terms(
        self, lesson: Lesson, draw: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        codes = lesson.intrinsic_NLD, lesson.extrinsic_NLD
        with torch.no_grad():
            shown: Tensor = self.network(*codes, space="w_plus", size=self.size)
        _, terms, noted = super()._terms(lesson, draw)
        return shown, terms, noted


class PublishedStructure(PublishedStep, StructureTraining):
    """Stage 2."""

    @property
    def generator(self) -> Any:  # type: ignore[override]
        """g inside G."""
        return self.network.generator

    def make_pass(self, step: int, draw: torch.Generator) -> Pass:
        state = draw.get_state()
        with torch.no_grad():
            first, second = self._draw_faces(self.plan.batch, draw)
            if step % self.plan.encoded_steps:
                encode(self.encoder, self.generator.synthesise(second, size=self.size))
            shown = self.network(first, second, space="w_plus", size=self.size)
        draw.set_state(state)
        made = super().make_pass(step, draw)
        return Pass(shown, made.real_NCHW, made.terms)


class PublishedAdapt(PublishedStep, AdaptTraining):
    """g to g'."""

    def make_pass(self, step: int, draw: torch.Generator) -> Pass:
        made = super().make_pass(step, draw)
        with torch.no_grad():
            shown = self.generator.synthesise(self._faces(self.plan.batch, draw), size=self.size)
        return Pass(shown, made.real_NCHW, made.terms)
