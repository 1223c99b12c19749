"""Stages 1 and 2 of progressive fine-tuning (section 3.3): structure transfer on the source domain.

Legend of shape suffixes: N image, L row, D style width, C channel, H height, W width.

Stage 1 is the initialisation of the extrinsic path (`networks.extrinsic`): G starts as g with
transferable colours. Stage 2 teaches it to transfer the middle rows of a second face: G(z1, z2~, 1)
must look like g(z_l+), whose rows before l come from z1 and whose others come from z2, while l goes
down from 7 to 5. z2~ is f(z2), and every few steps the mapped E(g(z2)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from dualstylegan.finetuning.adversary import Adversary, lazy_adam
from dualstylegan.finetuning.trainer import Training
from dualstylegan.images import make_grid, tensor_to_image
from dualstylegan.inversion import encode
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.encoder import PortraitEncoder
from dualstylegan.networks.vgg import LPIPS

GRID_COLUMNS = 6
GRID_SEED = 12


@dataclass(frozen=True)
class StructurePlan:
    """Settings of structure transfer.

    Attributes:
        batch: images a step.
        rate: learning rate of the extrinsic path.
        phases: pairs (l, first step), in order.
        encoded_steps: every so many steps z2~ comes from the encoder.
        adversarial_weight, perceptual_weight, pixel_weight: weights of the loss terms.
        truncation: psi of both faces.
    """

    batch: int
    rate: float
    phases: Sequence[tuple[int, int]]
    encoded_steps: int
    adversarial_weight: float
    perceptual_weight: float
    pixel_weight: float
    truncation: float

    def crossover(self, step: int) -> int:
        """l at a step."""
        return [rows for rows, first in self.phases if first <= step][-1]


def train_extrinsic(network: DualStyleGAN) -> list[torch.nn.Parameter]:
    """Turn gradients on for T_s, ModRes and T_c alone and return their parameters."""
    network.requires_grad_(False)
    trained = list(network.extrinsic_parameters())
    for parameter in trained:
        parameter.requires_grad_(True)
    return trained


class StructureTraining(Training):
    """Trains T_s, ModRes and T_c on the frozen generator."""

    averaged = "network"

    def __init__(
        self,
        network: DualStyleGAN,
        encoder: PortraitEncoder,
        adversary: Adversary,
        lpips: LPIPS,
        size: int,
        plan: StructurePlan,
    ) -> None:
        self.network = network
        self.encoder = encoder
        self.adversary = adversary
        self.lpips = lpips
        self.size = size
        self.plan = plan
        trained = train_extrinsic(network)
        self.optimiser = lazy_adam(trained, plan.rate, None)
        self.modules = {"network": network, "discriminator": adversary.discriminator}
        self.optimisers = {"network": self.optimiser, "discriminator": adversary.optimiser}

    def _draw_faces(self, count: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        g = self.network.generator
        z = torch.randn(2, count, g.style_dim, generator=draw).to(g.mean_w.device)
        first, second = g.truncate(g.map(z), self.plan.truncation)
        rows = (-1, g.rows, -1)
        return first[:, None].expand(rows), second[:, None].expand(rows)

    def step(self, step: int, draw: torch.Generator) -> dict[str, Tensor]:
        plan, g = self.plan, self.network.generator
        with torch.no_grad():
            first, second = self._draw_faces(plan.batch, draw)
            target = g.synthesise(g.mix(first, second, plan.crossover(step)), size=self.size)
            style = second
            if step % plan.encoded_steps == 0:
                style = g.map(encode(self.encoder, g.synthesise(second, size=self.size)))
            features = self.lpips.features(target)
        fake = self.network(first, style, space="w_plus", size=self.size)
        perceptual = self.lpips.distance(self.lpips.features(fake), features).mean()
        pixels = (fake - target).abs().mean()
        adversarial = self.adversary.judge(fake, draw).mean()
        loss = plan.perceptual_weight * perceptual + plan.pixel_weight * pixels
        loss = loss + plan.adversarial_weight * adversarial
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        scalars = self.adversary.learn(target, fake, step, draw)
        terms = {"g/perceptual": perceptual, "g/pixels": pixels, "g/adversarial": adversarial}
        return {**{k: v.detach() for k, v in terms.items()}, **scalars}

    @torch.no_grad()
    def picture(self) -> Image.Image:
        """Faces one and two, g(z_l+) for the last l, and G(z1, z2, 1)."""
        draw = torch.Generator().manual_seed(GRID_SEED)
        g = self.network.generator
        first, second = self._draw_faces(GRID_COLUMNS, draw)
        last = self.plan.phases[-1][0]
        mixed = g.mix(first, second, last)
        tiles = [g.synthesise(w, size=self.size) for w in (first, second, mixed)]
        tiles.append(self.network(first, second, space="w_plus", size=self.size))
        return make_grid([tensor_to_image(t) for row in tiles for t in row], GRID_COLUMNS)
