"""Adaptation of g to g': fine-tuning of the generator on the style's exemplars (section 3.1).

Legend of shape suffixes: N image, L row, D style width, C channel, H height, W width.

    L = lambda_adv L_adv + lambda_anchor LPIPS(g'(z_e+), S) + lambda_pixel |g'(z_e+) - S|

The published recipe uses the adversarial loss alone, on 19,200 images, and stops early so that g
and g' stay aligned. With tens of exemplars and a small budget, a part of each batch is anchored
instead: the code z_e+ of an exemplar S must render S. The mapping network stays frozen, so that a
code means the same face to g and g'.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from dualstylegan.finetuning.discriminator import BETAS, DiscriminatorTrainer, lazy_adam
from dualstylegan.finetuning.step import AdversarialTraining, Pass, StepOptions
from dualstylegan.io.images import make_grid, tensor_to_image
from dualstylegan.networks.generator import Generator
from dualstylegan.networks.masks import Masks, no_masks, within
from dualstylegan.networks.vgg import PerceptualNetwork

GRID_COLUMNS = 8
GRID_SEED = 11
# Lower bound of a parameter's root mean square in `relative_adam`.
MIN_RMS = 0.01


@dataclass(frozen=True)
class AdaptPlan:
    """Settings of the adaptation.

    Attributes:
        batch: images per pass.
        anchored: how many of them render an exemplar's code; 0 is adversarial training alone.
        rate: learning rate of g'; relative to each weight's root mean square on generators whose
            equalised scales are folded into the weights.
        adversarial_weight, anchor_weight, pixel_weight: weights of the loss terms.
        truncation: psi of the random faces; 1 does not truncate.
        mixing: probability that the random faces of a pass are mixed from two codes.
        step_options: gradient accumulation and path length regularisation.
    """

    batch: int
    anchored: int
    rate: float
    adversarial_weight: float
    anchor_weight: float
    pixel_weight: float
    truncation: float
    mixing: float
    step_options: StepOptions


class AdaptTraining(AdversarialTraining):
    """Fine-tuning of a copy of g into g'.

    Args:
        generator: copy of g, trained in place; its mapping network stays frozen.
        discriminator: discriminator trained on natural faces.
        lpips: frozen LPIPS network.
        portraits: function from indices to exemplars (N, 3, size, size) in [-1, 1].
        codes_NLD: z_e+ of every exemplar, in Z+.
        size: working size in pixels.
        masks: function from indices to masks of what lies inside of the exemplars' pictures.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: DiscriminatorTrainer,
        lpips: PerceptualNetwork,
        portraits: Callable[[Tensor], Tensor],
        codes_NLD: Tensor,
        size: int,
        plan: AdaptPlan,
        masks: Masks = no_masks,
    ) -> None:
        trained = synthesis_parameters(generator)
        if generator.folded_scales:
            optimiser = relative_adam(trained, plan.rate)
        else:
            optimiser = lazy_adam(trained, plan.rate, plan.step_options.interval)
        super().__init__("generator", generator, optimiser, discriminator, plan.step_options)
        self.generator = generator
        self.lpips = lpips
        self.portraits = portraits
        self.masks = masks
        self.codes_NLD = codes_NLD
        self.size = size
        self.plan = plan

    def make_pass(self, step: int, rng: torch.Generator) -> Pass:
        plan, count = self.plan, len(self.codes_NLD)
        order = torch.randperm(count, generator=rng)
        index = order[: plan.anchored]
        with torch.no_grad():
            anchored = self.generator.map(self.codes_NLD[index])
            w_NLD = torch.cat((anchored, self._random_codes(plan.batch - len(index), rng)))
        # Every face gets the surroundings of an exemplar, an anchored one those of its own.
        framed = order[torch.arange(len(w_NLD)) % count]
        fake = self.generator.synthesise(w_NLD, size=self.size)
        fake = within(self.masks(framed), fake, self.portraits(framed))
        adversarial = self.discriminator.generator_loss(fake, rng).mean()
        terms = {"adversarial": plan.adversarial_weight * adversarial}
        if len(index):
            terms |= self._anchor_terms(fake[: len(index)], self.portraits(index))
        real = self.portraits(torch.randint(count, (len(fake),), generator=rng))
        return Pass(fake, real, terms)

    def _random_codes(self, count: int, rng: torch.Generator) -> Tensor:
        """Return W+ codes (N, L, D) of random faces, truncated, at times mixed from two codes."""
        g = self.generator
        z = self.noise(2, count, g.style_dim, rng=rng)
        crossover = int(torch.randint(1, g.rows, (), generator=rng))
        mixed = float(torch.rand((), generator=rng)) < self.plan.mixing
        first, second = g.truncate(g.map(z), self.plan.truncation)
        return g.mix(first, second, crossover if mixed else g.rows)

    def _anchor_terms(self, fake: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return LPIPS and L1 between renderings of z_e+ and their exemplars, weighted."""
        with torch.no_grad():
            features = self.lpips.features(target)
        distance = self.lpips.distance(self.lpips.features(fake), features).mean()
        pixels = (fake - target).abs().mean()
        return {
            "anchor": self.plan.anchor_weight * distance,
            "pixels": self.plan.pixel_weight * pixels,
        }

    def path_image(self, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            w_NLD = self._random_codes(max(1, self.plan.batch // 2), rng)
        w_NLD.requires_grad_(True)
        return self.generator.synthesise(w_NLD, size=self.size), w_NLD

    @torch.no_grad()
    def picture(self) -> Image.Image:
        """Render exemplars, g' of their codes, and g' of random codes, row by row."""
        shown = torch.arange(min(GRID_COLUMNS, len(self.codes_NLD)))
        rng = torch.Generator().manual_seed(GRID_SEED)
        z = self.noise(len(shown), self.generator.style_dim, rng=rng)
        fitted = self.generator(self.codes_NLD[shown], "z_plus", size=self.size)
        random = self.generator(z, truncation=self.plan.truncation, size=self.size)
        tiles = torch.cat((self.portraits(shown), fitted, random))
        return make_grid([tensor_to_image(t) for t in tiles], len(shown))


def relative_adam(parameters: list[torch.nn.Parameter], rate: float) -> torch.optim.Adam:
    """Return Adam with learning rates relative to the root mean square of each parameter.

    Equalised learning rates (ProGAN, section 4.1) have this effect. Where their scales are folded
    into the weights, a single rate would be far too large for the small ones.
    """
    groups = [
        {"params": [p], "lr": rate * max(float(p.detach().square().mean().sqrt()), MIN_RMS)}
        for p in parameters
    ]
    return torch.optim.Adam(groups, betas=BETAS)


def synthesis_parameters(generator: Generator) -> list[torch.nn.Parameter]:
    """Enable gradients for the synthesis network alone and return its parameters."""
    mapping = {id(p) for p in mapping_parameters(generator)}
    generator.requires_grad_(True)
    trained = []
    for parameter in generator.parameters():
        if id(parameter) in mapping:
            parameter.requires_grad_(False)
        else:
            trained.append(parameter)
    return trained


def mapping_parameters(generator: Generator) -> list[torch.nn.Parameter]:
    """Return the parameters of the mapping network, in the key layout of either generator."""
    names = ("mapping.", "style.")
    return [p for n, p in generator.named_parameters() if n.startswith(names)]
