"""g to g': the generator fine-tuned on the style's portraits (section 3.1, before Eq. 1).

Legend of shape suffixes: N image, L row, D style width, C channel, H height, W width.

The published recipe is adversarial alone, over 19,200 images; it stops early so that g and g' stay
aligned. With tens of portraits and a laptop's budget, half of each batch is anchored instead: the
code z_e+ of an exemplar must render that exemplar, by LPIPS and absolute difference. The mapping
network stays frozen, so that codes keep their meaning. Learning rates are relative to the size of
each weight, as equalised layers have it: the embedded generator's weights have their scales folded
in, and one rate for all of them blows it up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from dualstylegan.finetuning.adversary import BETAS, Adversary
from dualstylegan.finetuning.trainer import Training
from dualstylegan.images import make_grid, tensor_to_image
from dualstylegan.networks.generator import Generator
from dualstylegan.networks.vgg import LPIPS

GRID_COLUMNS = 8
GRID_SEED = 11
SMALLEST_RMS = 0.01


@dataclass(frozen=True)
class AdaptPlan:
    """Settings of the adaptation.

    Attributes:
        batch: images a step, half of them anchored.
        rate: learning rate of g', relative to each weight's size.
        adversarial_weight, anchor_weight, pixel_weight: weights of the loss terms.
        truncation: psi of the random faces.
    """

    batch: int
    rate: float
    adversarial_weight: float
    anchor_weight: float
    pixel_weight: float
    truncation: float


class AdaptTraining(Training):
    """Fine-tunes a copy of g.

    Args:
        generator: the copy, g' in the end; its mapping network is not trained.
        adversary: discriminator that has seen natural faces.
        lpips: frozen.
        portraits: gives portraits (N, 3, size, size) in [-1, 1] by index.
        codes_NLD: z_e+ of every portrait.
        size: working size in pixels.
    """

    averaged = "generator"

    def __init__(
        self,
        generator: Generator,
        adversary: Adversary,
        lpips: LPIPS,
        portraits: Callable[[Tensor], Tensor],
        codes_NLD: Tensor,
        size: int,
        plan: AdaptPlan,
    ) -> None:
        self.generator = generator
        self.adversary = adversary
        self.lpips = lpips
        self.portraits = portraits
        self.codes_NLD = codes_NLD
        self.size = size
        self.plan = plan
        trained = synthesis_parameters(generator)
        self.optimiser = equalised_adam(trained, plan.rate)
        self.modules = {"generator": generator, "discriminator": adversary.discriminator}
        self.optimisers = {"generator": self.optimiser, "discriminator": adversary.optimiser}

    def step(self, step: int, draw: torch.Generator) -> dict[str, Tensor]:
        plan, count = self.plan, len(self.codes_NLD)
        device = self.codes_NLD.device
        anchored = max(1, plan.batch // 2)
        chosen = torch.randperm(count, generator=draw)[:anchored]
        free = plan.batch - len(chosen)
        z = torch.randn(free, self.generator.style_dim, generator=draw).to(device)
        with torch.no_grad():
            faces = self.generator.truncate(self.generator.to_w_plus(z, "z"), plan.truncation)
            w_NLD = torch.cat((self.generator.map(self.codes_NLD[chosen]), faces))
        fake = self.generator.synthesise(w_NLD, size=self.size)
        target = self.portraits(chosen)
        anchor, pixels = self._anchor(fake[: len(chosen)], target)
        adversarial = self.adversary.judge(fake, draw).mean()
        loss = plan.anchor_weight * anchor + plan.pixel_weight * pixels
        loss = loss + plan.adversarial_weight * adversarial
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        real = self.portraits(torch.randint(count, (len(fake),), generator=draw))
        scalars = self.adversary.learn(real, fake, step, draw)
        terms = {"g/anchor": anchor, "g/pixels": pixels, "g/adversarial": adversarial}
        return {**{k: v.detach() for k, v in terms.items()}, **scalars}

    def _anchor(self, fake: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            features = self.lpips.features(target)
        distance = self.lpips.distance(self.lpips.features(fake), features)
        return distance.mean(), (fake - target).abs().mean()

    @torch.no_grad()
    def picture(self) -> Image.Image:
        """Exemplars, g' of their codes, and g' of random faces."""
        shown = torch.arange(min(GRID_COLUMNS, len(self.codes_NLD)))
        z = torch.randn(
            len(shown), self.generator.style_dim, generator=torch.Generator().manual_seed(GRID_SEED)
        ).to(self.codes_NLD.device)
        fitted = self.generator(self.codes_NLD[shown], "z_plus", size=self.size)
        random = self.generator(z, truncation=self.plan.truncation, size=self.size)
        tiles = torch.cat((self.portraits(shown), fitted, random))
        return make_grid([tensor_to_image(t) for t in tiles], len(shown))


def equalised_adam(parameters: list[torch.nn.Parameter], rate: float) -> torch.optim.Adam:
    """Adam whose steps are relative to the root mean square of each parameter."""
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
