"""Structure transfer in feature space, an inexpensive start of stage 2 (embedded generator).

Legend of shape suffixes: N image, L row, D style width, C channel, H height, W width.

Beyond the last structure row, g(z_l+) and G(z1, f(z2), 1) differ by the colour transforms alone,
which start as identities. The two images are therefore equal if the features after that row are,
and features can be compared without rendering, at a sixth of the cost:

    L = mean of (F_G - F_g)^2 / var(F_g), per channel

Stage 2 itself (`finetuning.structure`) continues with images.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from dualstylegan.finetuning.discriminator import BETAS
from dualstylegan.finetuning.structure import train_extrinsic
from dualstylegan.finetuning.trainer import Training
from dualstylegan.io.images import make_grid, tensor_to_image
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.generator import STRUCTURE_PX
from dualstylegan.networks.mobilestylegan import MobileStyleGAN

GRID_COLUMNS, GRID_SEED = 6, 14
# Share of the steps after which l falls from 6 to 5; l = 7 holds at initialisation already.
SIX_SHARE = 0.2


@dataclass(frozen=True)
class FeaturePlan:
    """Settings of structure transfer in feature space.

    Attributes:
        steps: number of steps; the learning rate falls linearly to 0 over the second half.
        batch: pairs of faces per step.
        rate: initial learning rate.
        truncation: psi of both faces; 1 does not truncate.
    """

    steps: int
    batch: int
    rate: float
    truncation: float


class FeatureTransfer(Training):
    """Training of T_s and ModRes towards the features of g(z_l+) after the structure rows."""

    averaged = "network"

    def __init__(self, network: DualStyleGAN, size: int, plan: FeaturePlan) -> None:
        self.network = network
        assert isinstance(network.generator, MobileStyleGAN)
        self.generator = network.generator
        self.size = size
        self.plan = plan
        self.optimiser = torch.optim.Adam(train_extrinsic(network), lr=plan.rate, betas=BETAS)
        self.modules = {"network": network}
        self.optimisers = {"network": self.optimiser}

    def draw_faces(self, count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return W+ codes (N, L, D) of `count` pairs of random faces, truncated."""
        g = self.generator
        z = torch.randn(2, count, g.style_dim, generator=rng).to(g.mean_w.device)
        first, second = g.truncate(g.map(z), self.plan.truncation)
        rows = (-1, g.rows, -1)
        return first[:, None].expand(rows), second[:, None].expand(rows)

    def step(self, step: int, rng: torch.Generator) -> dict[str, Tensor]:
        crossover = 6 if step < SIX_SHARE * self.plan.steps else 5
        with torch.no_grad():
            first, second = self.draw_faces(self.plan.batch, rng)
            target = self._features(self.generator.mix(first, second, crossover))
            variance_C = target.var((0, 2, 3), keepdim=True)
        found = self._features(first, second)
        loss = ((found - target).square() / variance_C).mean()
        for group in self.optimiser.param_groups:
            group["lr"] = self.plan.rate * min(1.0, 2 * (1 - step / self.plan.steps))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return {"features": loss.detach()}

    def _features(self, w_NLD: Tensor, style_NLD: Tensor | None = None) -> Tensor:
        """Return the features after the last structure row, in float32."""
        path = None
        if style_NLD is not None:
            path = self.network.structure_path(style_NLD, self.network.row_weights(None))
        maps = self.generator.features(w_NLD, path)
        return next(x for px, x in maps if px == STRUCTURE_PX).float()

    @torch.no_grad()
    def picture(self) -> Image.Image:
        """Render g(z1), g(z2), g(z_l+) for the last l, and G(z1, z2, 1), row by row."""
        rng = torch.Generator().manual_seed(GRID_SEED)
        first, second = self.draw_faces(GRID_COLUMNS, rng)
        g = self.generator
        mixed = g.mix(first, second, 5)
        tiles = [g.synthesise(w, size=self.size) for w in (first, second, mixed)]
        tiles.append(self.network(first, second, space="w_plus", size=self.size))
        return make_grid([tensor_to_image(t) for row in tiles for t in row], GRID_COLUMNS)
