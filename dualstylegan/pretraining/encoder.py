"""Training of the embedded encoder into Z+ on pairs (code, image) from the generator.

Legend of shape suffixes: N image, C channel, H height, W width, L row, D style width.

A sample depends on its number alone, so that a run can be resumed anywhere. Batches come from a
ring buffer of recent samples, each used several times: rendering a face costs more than a training
step on it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from dualstylegan.finetuning.trainer import Training
from dualstylegan.io.images import dequantize, make_grid, quantize, tensor_to_image
from dualstylegan.networks.encoder import INPUT_PX, PortraitEncoder
from dualstylegan.networks.generator import Generator
from dualstylegan.networks.identity import FaceRecognition
from dualstylegan.networks.vgg import PerceptualNetwork
from dualstylegan.pretraining.augment import augment_photo

FIRST_SEED = 1_000_000  # above the seeds of the demo's own faces
MIXED_SHARE = 0.3
TRUNCATED_SHARE = 0.4
TRUNCATION_RANGE = (0.4, 0.9)
HELD_OUT = 10_000_000
GRID_COLUMNS = 8
MAX_GRADIENT_NORM = 5.0
LOSS_WEIGHTS = {"code": 0.4, "pixels": 1.0, "perceptual": 1.0, "identity": 0.25}


@dataclass(frozen=True)
class EncoderPlan:
    """Settings of the encoder's training.

    Attributes:
        steps: number of steps; the learning rate falls towards the last.
        batch: faces per step.
        rendered: faces of a batch that are compared as images too; 0 compares codes alone.
        pictures_from: first step with image losses; before it the codes are too far off for them.
        first_faces: faces rendered before the first step.
        backbone_rate, head_rate: peak learning rates of Adam.
    """

    steps: int
    batch: int
    rendered: int
    pictures_from: int
    first_faces: int
    backbone_rate: float
    head_rate: float

    def rate(self, step: int) -> float:
        """Return the learning rate factor: 100 steps of warm-up, then a cosine fall from 30 %."""
        fall = max(0.0, step / self.steps - 0.3) / 0.7
        return max(0.02, min(1.0, (step + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * fall)))


@dataclass(frozen=True)
class Samples:
    """Faces as uint8 images, and their codes in W+."""

    image_NCHW: Tensor
    w_plus_NLD: Tensor

    def pick(self, index: Tensor) -> Samples:
        return Samples(self.image_NCHW[index], self.w_plus_NLD[index])


@torch.no_grad()
def draw_samples(generator: Generator, numbers: range) -> Samples:
    """Render the faces with the given numbers: single, style-mixed and truncated codes."""
    z_rows, psis = [], []
    for number in numbers:
        rng = torch.Generator().manual_seed(FIRST_SEED + number)
        z = torch.randn(2, 1, generator.style_dim, generator=rng)
        kind = float(torch.rand((), generator=rng))
        crossover = int(torch.randint(1, generator.rows, (), generator=rng))
        crossover = crossover if kind < MIXED_SHARE else generator.rows
        low, high = TRUNCATION_RANGE
        psi = low + (high - low) * float(torch.rand((), generator=rng))
        psis.append(psi if kind >= 1 - TRUNCATED_SHARE else 1.0)
        z_rows.append(generator.mix(z[:1], z[1:], crossover)[0])
    z_plus = torch.stack(z_rows).to(generator.mean_w.device)
    psi_N = torch.tensor(psis, device=z_plus.device)
    w_plus = generator.mean_w + psi_N[:, None, None] * (generator.map(z_plus) - generator.mean_w)
    image = generator.synthesise(w_plus, size=INPUT_PX)
    pixels = quantize(image)
    return Samples(pixels, w_plus)


class SampleRing:
    """Ring buffer of the most recent faces; `advance` replaces the oldest by new ones."""

    def __init__(self, generator: Generator, capacity: int, chunk: int) -> None:
        self.generator = generator
        self.capacity = capacity
        self.chunk = chunk
        self.made = 0
        self.parts: list[Samples] = []

    def fill(self, made: int) -> Iterator[int]:
        """Render the faces that the ring holds after `made` faces in all; yield their number."""
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

    def batch(self, size: int, rng: torch.Generator) -> Samples:
        """Draw `size` faces from the ring, with equal probability."""
        index = torch.randint(len(self.parts) * self.chunk, (size,), generator=rng).tolist()
        rows = [self.parts[i // self.chunk].pick(torch.tensor([i % self.chunk])) for i in index]
        return Samples(
            torch.cat([r.image_NCHW for r in rows]),
            torch.cat([r.w_plus_NLD for r in rows]),
        )


@dataclass(frozen=True)
class PictureLosses:
    """Image losses between g(E(I)) and the face I."""

    perceptual: PerceptualNetwork
    identity: FaceRecognition

    def __call__(self, found_NCHW: Tensor, wanted_NCHW: Tensor) -> dict[str, Tensor]:
        """Return L1, LPIPS and identity distance, each a mean over images."""
        with torch.no_grad():
            features = self.perceptual.features(wanted_NCHW)
            identity = self.identity(wanted_NCHW)
        distance = self.perceptual.distance(self.perceptual.features(found_NCHW), features)
        return {
            "pixels": (found_NCHW - wanted_NCHW).abs().mean(),
            "perceptual": distance.mean(),
            "identity": self.identity.distance(self.identity(found_NCHW), identity).mean(),
        }


def encoder_losses(
    encoder: PortraitEncoder,
    generator: Generator,
    pictures: PictureLosses,
    samples: Samples,
    w_variance: Tensor,
    rng: torch.Generator,
    *,
    rendered: int,
) -> dict[str, Tensor]:
    """Compute the losses of one batch, each a mean over images.

    The encoder sees augmented faces and must find the codes and images of the originals.

    Args:
        rendered: number of faces of the batch whose codes are rendered and compared as images.

    Returns:
        `code`, the squared error in W+ over the variance of W, and those of `PictureLosses`. Codes
        are not compared in Z+, where many codes render the same face.
    """
    faces = dequantize(samples.image_NCHW)
    changed = augment_photo(faces, rng).contiguous(memory_format=torch.channels_last)
    w_plus = generator.map(encoder(changed))
    losses = {"code": ((w_plus - samples.w_plus_NLD).square() / w_variance).mean()}
    if rendered:
        again = generator.synthesise(w_plus[:rendered], size=INPUT_PX)
        losses |= pictures(again, faces[:rendered])
    return losses


class EncoderTraining(Training):
    """Training of the encoder E, at first on codes alone, then on images too.

    L = 0.4 code + pixels + perceptual + 0.25 identity

    Args:
        encoder: E, with a backbone pretrained on ImageNet, or trained before.
        generator: frozen generator g.
        pictures: image losses of frozen networks.
        ring: ring buffer of generated faces.
        plan: settings.
    """

    averaged = "encoder"

    def __init__(
        self,
        encoder: PortraitEncoder,
        generator: Generator,
        pictures: PictureLosses,
        ring: SampleRing,
        plan: EncoderPlan,
    ) -> None:
        self.encoder = encoder.requires_grad_(True)
        self.generator = generator
        self.pictures = pictures
        self.ring = ring
        self.plan = plan
        rng = torch.Generator().manual_seed(0)
        with torch.no_grad():
            z = torch.randn(4096, generator.style_dim, generator=rng)
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

    def step(self, step: int, rng: torch.Generator) -> dict[str, Tensor]:
        plan = self.plan
        made = plan.first_faces + step * self.ring.chunk
        for _ in self.ring.fill(made):  # the whole ring after a resume, one chunk otherwise
            pass
        rendered = plan.rendered if step >= plan.pictures_from else 0
        losses = encoder_losses(
            self.encoder,
            self.generator,
            self.pictures,
            self.ring.batch(plan.batch, rng),
            self.w_variance,
            rng,
            rendered=rendered,
        )
        loss = torch.stack([LOSS_WEIGHTS[k] * v for k, v in losses.items()]).sum()
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = rate * plan.rate(step)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.encoder.parameters(), MAX_GRADIENT_NORM)
        self.optimiser.step()
        return {k: v.detach() for k, v in losses.items()}

    @torch.no_grad()
    def picture(self) -> Image.Image:
        """Render held-out generated faces, and g of their codes, row by row."""
        samples = draw_samples(self.generator, range(HELD_OUT, HELD_OUT + GRID_COLUMNS))
        faces = dequantize(samples.image_NCHW)
        again = self.generator(self.encoder(faces), "z_plus", size=INPUT_PX)
        tiles = [tensor_to_image(x) for x in torch.cat((faces, again))]
        return make_grid(tiles, GRID_COLUMNS)
