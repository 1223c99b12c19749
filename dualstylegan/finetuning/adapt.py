"""g to g': the generator fine-tuned on the style's portraits (section 3.1, before Eq. 1).

Legend of shape suffixes: N image, L row, D style width, C channel, H height, W width.

The published recipe is adversarial alone, over 19,200 images; it stops early so that g and g' stay
aligned. With tens of portraits and a laptop's budget, a share of each batch is anchored instead:
the code z_e+ of an exemplar must render that exemplar, by LPIPS and absolute difference. The
mapping network stays frozen, so that codes keep their meaning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from dualstylegan.finetuning.discriminator import BETAS, Adversary, lazy_adam
from dualstylegan.finetuning.step import AdversarialTraining, Lazy, Pass
from dualstylegan.io.images import make_grid, tensor_to_image
from dualstylegan.networks.generator import Generator
from dualstylegan.networks.vgg import Perceptual

GRID_COLUMNS = 8
GRID_SEED = 11
SMALLEST_RMS = 0.01


@dataclass(frozen=True)
class AdaptPlan:
    """Settings of the adaptation.

    Attributes:
        batch: images a pass; anchored: how many of them render an exemplar.
        rate: learning rate of g', relative to each weight's size where scales are folded in.
        adversarial_weight, anchor_weight, pixel_weight: weights of the loss terms.
        truncation: psi of the random faces; mixing: share of them that have two codes.
        lazy: accumulation and path length.
    """

    batch: int
    anchored: int
    rate: float
    adversarial_weight: float
    anchor_weight: float
    pixel_weight: float
    truncation: float
    mixing: float
    lazy: Lazy


class AdaptTraining(AdversarialTraining):
    """Fine-tunes a copy of g.

    Args:
        generator: the copy, g' in the end; its mapping network is not trained.
        adversary: discriminator that has seen natural faces.
        lpips: frozen.
        portraits: gives portraits (N, 3, size, size) in [-1, 1] by index.
        codes_NLD: z_e+ of every portrait.
        size: working size in pixels.
    """

    def __init__(
        self,
        generator: Generator,
        adversary: Adversary,
        lpips: Perceptual,
        portraits: Callable[[Tensor], Tensor],
        codes_NLD: Tensor,
        size: int,
        plan: AdaptPlan,
    ) -> None:
        trained = synthesis_parameters(generator)
        if generator.folded_scales:
            optimiser = relative_adam(trained, plan.rate)
        else:
            optimiser = lazy_adam(trained, plan.rate, plan.lazy.interval)
        super().__init__("generator", generator, optimiser, adversary, plan.lazy)
        self.generator = generator
        self.lpips = lpips
        self.portraits = portraits
        self.codes_NLD = codes_NLD
        self.size = size
        self.plan = plan

    def make_pass(self, step: int, draw: torch.Generator) -> Pass:
        plan, count = self.plan, len(self.codes_NLD)
        chosen = torch.randperm(count, generator=draw)[: plan.anchored]
        with torch.no_grad():
            anchored = self.generator.map(self.codes_NLD[chosen])
            w_NLD = torch.cat((anchored, self._faces(plan.batch - len(chosen), draw)))
        fake = self.generator.synthesise(w_NLD, size=self.size)
        terms = {"adversarial": plan.adversarial_weight * self.adversary.judge(fake, draw).mean()}
        if len(chosen):
            terms |= self._anchor(fake[: len(chosen)], self.portraits(chosen))
        real = self.portraits(torch.randint(count, (len(fake),), generator=draw))
        return Pass(fake, real, terms)

    def _faces(self, count: int, draw: torch.Generator) -> Tensor:
        """W+ codes of random faces, some of them mixed of two."""
        g = self.generator
        z = self.noise(2, count, g.style_dim, draw=draw)
        crossover = int(torch.randint(1, g.rows, (), generator=draw))
        mixed = float(torch.rand((), generator=draw)) < self.plan.mixing
        first, second = g.truncate(g.map(z), self.plan.truncation)
        return g.mix(first, second, crossover if mixed else g.rows)

    def _anchor(self, fake: Tensor, target: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            features = self.lpips.features(target)
        distance = self.lpips.distance(self.lpips.features(fake), features).mean()
        pixels = (fake - target).abs().mean()
        return {
            "anchor": self.plan.anchor_weight * distance,
            "pixels": self.plan.pixel_weight * pixels,
        }

    def path_image(self, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            w_NLD = self._faces(max(1, self.plan.batch // 2), draw)
        w_NLD.requires_grad_(True)
        return self.generator.synthesise(w_NLD, size=self.size), w_NLD

    @torch.no_grad()
    def picture(self) -> Image.Image:
        """Exemplars, g' of their codes, and g' of random faces."""
        shown = torch.arange(min(GRID_COLUMNS, len(self.codes_NLD)))
        draw = torch.Generator().manual_seed(GRID_SEED)
        z = self.noise(len(shown), self.generator.style_dim, draw=draw)
        fitted = self.generator(self.codes_NLD[shown], "z_plus", size=self.size)
        random = self.generator(z, truncation=self.plan.truncation, size=self.size)
        tiles = torch.cat((self.portraits(shown), fitted, random))
        return make_grid([tensor_to_image(t) for t in tiles], len(shown))


def relative_adam(parameters: list[torch.nn.Parameter], rate: float) -> torch.optim.Adam:
    """Adam whose steps are relative to the root mean square of each parameter.

    Equalised layers learn like this by themselves (PGGAN, section 4.1); where their scales are
    folded into the weights, one rate for all would blow the small ones up.
    """
    groups = [
        {"params": [p], "lr": rate * max(float(p.detach().square().mean().sqrt()), SMALLEST_RMS)}
        for p in parameters
    ]
    return torch.optim.Adam(groups, betas=BETAS)


def synthesis_parameters(generator: Generator) -> list[torch.nn.Parameter]:
    """Turn gradients on for the synthesis network alone and return its parameters."""
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
    """Parameters of the mapping network, whatever the generator calls it."""
    names = ("mapping.", "style.")
    return [p for n, p in generator.named_parameters() if n.startswith(names)]
