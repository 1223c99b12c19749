"""Structure transfer on the source domain, stages 1 and 2 of progressive fine-tuning (section 3.3).

Legend of shape suffixes: N image, L row, D style width, C channel, H height, W width.

Stage 1 is the initialisation of the extrinsic path (`networks.extrinsic`): G starts as g and can
transfer colours. Stage 2 trains it to transfer the middle rows of a second face:

    L = lambda_adv L_adv + lambda_perc L_perc(G(z1, z2~, 1), g(z_l+)) + lambda_pixel L1

z_l+ takes its rows before l from z1 and the others from z2, while l falls from 7 to 5. z2~ is
f(z2), or, every `encoded_steps` steps, f(E(g(z2))).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor, nn

from dualstylegan.codes.inversion import encode
from dualstylegan.finetuning.discriminator import DiscriminatorTrainer, lazy_adam
from dualstylegan.finetuning.step import AdversarialTraining, Pass, StepOptions
from dualstylegan.io.images import make_grid, tensor_to_image
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.vgg import PerceptualNetwork

GRID_COLUMNS = 6
GRID_SEED = 12


@dataclass(frozen=True)
class StructurePlan:
    """Settings of structure transfer.

    Attributes:
        batch: images per pass.
        rate: learning rate of the extrinsic path.
        phases: pairs (l, first step of the phase), in order.
        encoded_steps: steps from one z2~ that comes from the encoder to the next.
        adversarial_weight, perceptual_weight, pixel_weight: weights of the loss terms.
        truncation: psi of both faces; 1 does not truncate.
        step_options: gradient accumulation and path length regularisation.
    """

    batch: int
    rate: float
    phases: Sequence[tuple[int, int]]
    encoded_steps: int
    adversarial_weight: float
    perceptual_weight: float
    pixel_weight: float
    truncation: float
    step_options: StepOptions

    def crossover(self, step: int) -> int:
        """Return l, the number of rows that come from z1, at a step."""
        return [rows for rows, first in self.phases if first <= step][-1]


def train_extrinsic(network: DualStyleGAN) -> list[torch.nn.Parameter]:
    """Enable gradients for T_s, ModRes and T_c alone and return their parameters."""
    network.requires_grad_(False)
    trained = list(network.extrinsic_parameters())
    for parameter in trained:
        parameter.requires_grad_(True)
    return trained


class StructureTraining(AdversarialTraining):
    """Training of T_s, ModRes and T_c on the frozen generator (stage 2).

    Args:
        network: DualStyleGAN after stage 1.
        encoder: frozen encoder E into Z+.
        discriminator: discriminator trained on natural faces.
        perceptual: frozen feature extractor of L_perc.
        size: working size in pixels.
        plan: settings.
    """

    def __init__(
        self,
        network: DualStyleGAN,
        encoder: nn.Module,
        discriminator: DiscriminatorTrainer,
        perceptual: PerceptualNetwork,
        size: int,
        plan: StructurePlan,
    ) -> None:
        optimiser = lazy_adam(train_extrinsic(network), plan.rate, plan.step_options.interval)
        super().__init__("network", network, optimiser, discriminator, plan.step_options)
        self.network = network
        self.encoder = encoder
        self.perceptual = perceptual
        self.size = size
        self.plan = plan

    def _draw_faces(self, count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return W+ codes (N, L, D) of `count` pairs of random faces, truncated."""
        g = self.network.generator
        z = self.noise(2, count, g.style_dim, rng=rng)
        first, second = g.truncate(g.map(z), self.plan.truncation)
        rows = (-1, g.rows, -1)
        return first[:, None].expand(rows), second[:, None].expand(rows)

    def make_pass(self, step: int, rng: torch.Generator) -> Pass:
        plan, g = self.plan, self.network.generator
        with torch.no_grad():
            first, second = self._draw_faces(plan.batch, rng)
            target = g.synthesise(g.mix(first, second, plan.crossover(step)), size=self.size)
            style = second
            if step % plan.encoded_steps == 0:
                style = g.map(encode(self.encoder, g.synthesise(second, size=self.size)))
            features = self.perceptual.features(target)
        fake = self.network(first, style, space="w_plus", size=self.size)
        distance = self.perceptual.distance(self.perceptual.features(fake), features).mean()
        terms = {
            "perceptual": plan.perceptual_weight * distance,
            "pixels": plan.pixel_weight * (fake - target).abs().mean(),
            "adversarial": plan.adversarial_weight
            * self.discriminator.generator_loss(fake, rng).mean(),
        }
        return Pass(fake, target, terms)

    def path_image(self, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            first, second = self._draw_faces(max(1, self.plan.batch // 2), rng)
        w_NLD = first.contiguous().requires_grad_(True)
        return self.network(w_NLD, second, space="w_plus", size=self.size), w_NLD

    @torch.no_grad()
    def picture(self) -> Image.Image:
        """Render g(z1), g(z2), g(z_l+) for the last l, and G(z1, z2, 1), row by row."""
        rng = torch.Generator().manual_seed(GRID_SEED)
        g = self.network.generator
        first, second = self._draw_faces(GRID_COLUMNS, rng)
        last = self.plan.phases[-1][0]
        mixed = g.mix(first, second, last)
        tiles = [g.synthesise(w, size=self.size) for w in (first, second, mixed)]
        tiles.append(self.network(first, second, space="w_plus", size=self.size))
        return make_grid([tensor_to_image(t) for row in tiles for t in row], GRID_COLUMNS)
