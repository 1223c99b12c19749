"""Training of the embedded encoder into Z+ on exact (code, image) pairs from the generator itself.

Legend of shape suffixes: N image, C channel, H height, W width, L row, D style width.

Every sample is made from its own number, so that a run can be resumed anywhere; a ring of recent
samples is drawn from several times, since rendering a face costs more than a training step on it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from dualstylegan.finetuning.trainer import Training
from dualstylegan.images import make_grid, tensor_to_image
from dualstylegan.networks.encoder import INPUT_PX, PortraitEncoder
from dualstylegan.networks.generator import Generator
from dualstylegan.pretraining.augment import augment_photo

FIRST_SEED = 1_000_000  # the demo's own faces are drawn from smaller numbers
MIXED_SHARE = 0.3
TRUNCATED_SHARE = 0.4
TRUNCATION_RANGE = (0.4, 0.9)
FEATURE_ROWS = (4, 6, 8)
HELD_OUT = 10_000_000
GRID_COLUMNS = 8
LOSS_WEIGHTS = {"code_w": 1.0, "code_z": 0.3, "features": 0.5, "pixels": 1.0}


@dataclass(frozen=True)
class EncoderPlan:
    """Settings of the encoder's training.

    Attributes:
        steps: number of steps, for the learning rate's fall.
        batch: faces a step; rendered: those of them compared as pictures of `rendered_px`.
        pictures_from: step at which pictures join the codes; before it they only disturb.
        first_faces: faces made before the first step.
        backbone_rate, head_rate: peak learning rates of Adam.
        clip: largest norm of the gradient.
    """

    steps: int
    batch: int = 16
    rendered: int = 4
    rendered_px: int = 64
    pictures_from: int = 1700
    first_faces: int = 600
    backbone_rate: float = 3e-4
    head_rate: float = 1e-3
    clip: float = 5.0

    def rate(self, step: int) -> float:
        """Factor on the learning rates: 100 steps of rise, a plateau, a cosine fall from 30 %."""
        fall = max(0.0, step / self.steps - 0.3) / 0.7
        return max(0.02, min(1.0, (step + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * fall)))


@dataclass(frozen=True)
class Samples:
    """Faces and what made them; `known` marks images whose Z+ rows are exact (not truncated)."""

    image_NCHW: Tensor  # uint8
    z_plus_NLD: Tensor
    w_plus_NLD: Tensor
    known_N: Tensor

    def pick(self, index: Tensor) -> Samples:
        parts = (self.image_NCHW, self.z_plus_NLD, self.w_plus_NLD, self.known_N)
        return Samples(*(part[index] for part in parts))


@torch.no_grad()
def draw_samples(generator: Generator, numbers: range) -> Samples:
    """Render the faces with the given numbers: single, style-mixed and truncated codes."""
    z_rows, psis = [], []
    for number in numbers:
        draw = torch.Generator().manual_seed(FIRST_SEED + number)
        z = torch.randn(2, 1, generator.style_dim, generator=draw)
        kind = float(torch.rand((), generator=draw))
        crossover = int(torch.randint(1, generator.rows, (), generator=draw))
        crossover = crossover if kind < MIXED_SHARE else generator.rows
        low, high = TRUNCATION_RANGE
        psi = low + (high - low) * float(torch.rand((), generator=draw))
        psis.append(psi if kind >= 1 - TRUNCATED_SHARE else 1.0)
        z_rows.append(generator.mix(z[:1], z[1:], crossover)[0])
    z_plus = torch.stack(z_rows).to(generator.mean_w.device)
    psi_N = torch.tensor(psis, device=z_plus.device)
    w_plus = generator.mean_w + psi_N[:, None, None] * (generator.map(z_plus) - generator.mean_w)
    image = generator.synthesise(w_plus, size=INPUT_PX)
    pixels = ((image.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return Samples(pixels, z_plus, w_plus, psi_N == 1)


class SampleRing:
    """The most recent faces; `advance` renders new ones in place of the oldest."""

    def __init__(self, generator: Generator, capacity: int, chunk: int) -> None:
        self.generator = generator
        self.capacity = capacity
        self.chunk = chunk
        self.made = 0
        self.parts: list[Samples] = []

    def fill(self, made: int) -> Iterator[int]:
        """Render what the ring lacks of its state once `made` faces were made; yields progress."""
        self.made = max(self.made, made - self.capacity)
        while self.made < made:
            self.advance()
            yield self.made

    def advance(self) -> None:
        """Render one chunk of new faces and drop the oldest beyond the capacity."""
        numbers = range(self.made, self.made + self.chunk)
        self.parts.append(draw_samples(self.generator, numbers))
        self.made += self.chunk
        if len(self.parts) * self.chunk > self.capacity:
            self.parts.pop(0)

    def batch(self, size: int, draw: torch.Generator) -> Samples:
        """`size` faces drawn evenly from the ring."""
        index = torch.randint(len(self.parts) * self.chunk, (size,), generator=draw).tolist()
        rows = [self.parts[i // self.chunk].pick(torch.tensor([i % self.chunk])) for i in index]
        return Samples(
            torch.cat([r.image_NCHW for r in rows]),
            torch.cat([r.z_plus_NLD for r in rows]),
            torch.cat([r.w_plus_NLD for r in rows]),
            torch.cat([r.known_N for r in rows]),
        )


def render_features(generator: Generator, w_NLD: Tensor, size: int) -> tuple[list[Tensor], Tensor]:
    """Feature maps after `FEATURE_ROWS` and the image at `size` pixels."""
    maps: list[Tensor] = []

    def keep(row: int, x: Tensor) -> Tensor:
        if row in FEATURE_ROWS:
            maps.append(x.float())
        return x

    image = generator.synthesise(w_NLD, size=size, after_row=keep)
    return maps, image


def encoder_losses(
    encoder: PortraitEncoder,
    generator: Generator,
    samples: Samples,
    w_variance: Tensor,
    draw: torch.Generator,
    *,
    rendered: int,
    size: int,
) -> dict[str, Tensor]:
    """Losses of one batch, each a mean over images.

    Args:
        rendered: number of images of the batch that are rendered and compared as pictures.
        size: size of those pictures in pixels.

    Returns:
        `code_w`: squared error in W+ over the variance of W; `code_z`: one minus the cosine of
        known Z+ rows; `features` and `pixels`: relative error of the generator's feature maps and
        mean absolute error of its image.
    """
    image = samples.image_NCHW.float() / 127.5 - 1
    image = augment_photo(image, draw).contiguous(memory_format=torch.channels_last)
    z_plus = encoder(image)
    w_plus = generator.map(z_plus)
    code_w = ((w_plus - samples.w_plus_NLD).square() / w_variance).mean()
    cosine = F.cosine_similarity(z_plus, samples.z_plus_NLD, dim=-1).mean(1)
    known = samples.known_N.float()
    code_z = ((1 - cosine) * known).sum() / known.sum().clamp(min=1)
    losses = {"code_w": code_w, "code_z": code_z}
    if rendered:
        with torch.no_grad():
            true_maps, true_image = render_features(generator, samples.w_plus_NLD[:rendered], size)
        maps, rendering = render_features(generator, w_plus[:rendered], size)
        relative = [
            (a - b).square().mean() / b.square().mean()
            for a, b in zip(maps, true_maps, strict=True)
        ]
        losses["features"] = torch.stack(relative).mean()
        losses["pixels"] = (rendering - true_image).abs().mean()
    return losses


class EncoderTraining(Training):
    """Trains the encoder: first on codes alone, then on the generator's maps and pictures too.

    Args:
        encoder: E, its backbone holding ImageNet weights at the start.
        generator: frozen.
        ring: of generated faces.
        plan: settings.
    """

    averaged = "encoder"

    def __init__(
        self, encoder: PortraitEncoder, generator: Generator, ring: SampleRing, plan: EncoderPlan
    ) -> None:
        self.encoder = encoder.requires_grad_(True)
        self.generator = generator
        self.ring = ring
        self.plan = plan
        draw = torch.Generator().manual_seed(0)
        with torch.no_grad():
            z = torch.randn(4096, generator.style_dim, generator=draw)
            self.w_variance = generator.map(z.to(generator.mean_w.device)).var(0).mean()
        heads = [*encoder.lateral.parameters(), *encoder.levels.parameters()]
        self.optimiser = torch.optim.Adam(
            [
                {"params": list(encoder.backbone.parameters()), "lr": plan.backbone_rate},
                {"params": heads, "lr": plan.head_rate},
            ],
            betas=(0.9, 0.99),
        )
        self.rates = (plan.backbone_rate, plan.head_rate)
        self.modules = {"encoder": encoder}
        self.optimisers = {"encoder": self.optimiser}

    def step(self, step: int, draw: torch.Generator) -> dict[str, Tensor]:
        plan = self.plan
        made = plan.first_faces + step * self.ring.chunk
        for _ in self.ring.fill(made):  # all of them after a resumption, one chunk otherwise
            pass
        rendered = plan.rendered if step >= plan.pictures_from else 0
        losses = encoder_losses(
            self.encoder,
            self.generator,
            self.ring.batch(plan.batch, draw),
            self.w_variance,
            draw,
            rendered=rendered,
            size=plan.rendered_px,
        )
        loss = torch.stack([LOSS_WEIGHTS[k] * v for k, v in losses.items()]).sum()
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = rate * plan.rate(step)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.encoder.parameters(), plan.clip)
        self.optimiser.step()
        return {k: v.detach() for k, v in losses.items()}

    @torch.no_grad()
    def picture(self) -> Image.Image:
        """Generated faces that training never sees, and g of their codes."""
        samples = draw_samples(self.generator, range(HELD_OUT, HELD_OUT + GRID_COLUMNS))
        faces = samples.image_NCHW.float() / 127.5 - 1
        again = self.generator(self.encoder(faces), "z_plus", size=INPUT_PX)
        tiles = [tensor_to_image(x) for x in torch.cat((faces, again))]
        return make_grid(tiles, GRID_COLUMNS)
