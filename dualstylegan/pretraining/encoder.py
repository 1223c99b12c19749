"""Training of the embedded encoder into Z+ on pairs (code, image) from the generator.

Legend of shape suffixes: N image, C channel, H height, W width, L row, D style width, E embedding.

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

from dualstylegan.codes.inversion import encode_in_passes
from dualstylegan.finetuning.trainer import Training
from dualstylegan.io.images import dequantize, make_grid, quantize, tensor_to_image
from dualstylegan.networks.encoder import INPUT_PX, EncoderPass, PortraitEncoder
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
LOSS_WEIGHTS = {"code": 0.25, "pixels": 1.0, "perceptual": 1.0, "identity": 0.5}


@dataclass(frozen=True)
class EncoderPlan:
    """Settings of the encoder's training.

    Attributes:
        steps: number of steps; the learning rate falls towards the last.
        batch: faces per step.
        passes: passes of the encoder over each face (ReStyle).
        rendered: faces of a batch that are compared by LPIPS too, the costliest loss.
        pictures_from: first step with image losses and more than one pass; before it the codes
            are too far off for them.
        first_faces: faces rendered before the first step.
        backbone_rate, head_rate, identity_rate: peak learning rates of Adam.
    """

    steps: int
    batch: int
    passes: int
    rendered: int
    pictures_from: int
    first_faces: int
    backbone_rate: float
    head_rate: float
    identity_rate: float

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
    """Image losses between g(E(I)) and a photograph I."""

    perceptual: PerceptualNetwork
    identity: FaceRecognition

    def __call__(
        self,
        rendering_NCHW: Tensor,
        reached_NE: Tensor,
        photo_NCHW: Tensor,
        face_NE: Tensor,
        rendered: int,
    ) -> dict[str, Tensor]:
        """Return L1, identity distance and LPIPS, each a mean over images.

        Args:
            rendering_NCHW, reached_NE: g(E(I)) and its identity.
            photo_NCHW: I.
            face_NE: identity of the face that I is a photograph of.
            rendered: number of leading images that LPIPS compares; 0: none.
        """
        losses = {
            "pixels": (rendering_NCHW - photo_NCHW).abs().mean(),
            "identity": self.identity.distance(reached_NE, face_NE).mean(),
        }
        if rendered:
            with torch.no_grad():
                wanted = self.perceptual.features(photo_NCHW[:rendered])
            reached = self.perceptual.features(rendering_NCHW[:rendered])
            losses["perceptual"] = self.perceptual.distance(reached, wanted).mean()
        return losses


class EncoderTraining(Training):
    """Training of the encoder E, at first on codes alone, then on images and in passes too.

    L = mean over passes of 0.25 code + pixels + perceptual + 0.5 identity

    `code` is the squared error in W+ over the variance of W; codes are not compared in Z+, where
    many codes render the same face. The encoder sees photographs of generated faces: it must render
    the photograph, as it must of a real one, yet find the code and the identity of the face. A pass
    starts from the outcome of the one before, through which no gradient flows (ReStyle, section 3).

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
        groups = (encoder.backbone.parameters(), heads, encoder.identity.parameters())
        self.rates = (plan.backbone_rate, plan.head_rate, plan.identity_rate)
        self.optimiser = torch.optim.Adam(
            [{"params": list(p), "lr": r} for p, r in zip(groups, self.rates, strict=True)],
            betas=(0.9, 0.99),
        )
        self.modules = {"encoder": encoder}
        self.optimisers = {"encoder": self.optimiser}

    def step(self, step: int, rng: torch.Generator) -> dict[str, Tensor]:
        plan = self.plan
        made = plan.first_faces + step * self.ring.chunk
        for _ in self.ring.fill(made):  # the whole ring after a resume, one chunk otherwise
            pass
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = rate * plan.rate(step)
        self.optimiser.zero_grad(set_to_none=True)
        samples = self.ring.batch(plan.batch, rng)
        if step < plan.pictures_from:
            scalars = self._accumulate_code_alone(samples, rng)
        else:
            scalars = self._accumulate_passes(samples, rng)
        torch.nn.utils.clip_grad_norm_(self.encoder.parameters(), MAX_GRADIENT_NORM)
        self.optimiser.step()
        return scalars

    def _photographed(self, face_NCHW: Tensor, rng: torch.Generator) -> Tensor:
        photo = augment_photo(face_NCHW, rng)
        return photo.contiguous(memory_format=torch.channels_last)

    def _code_loss(self, w_plus_NLD: Tensor, samples: Samples) -> Tensor:
        return ((w_plus_NLD - samples.w_plus_NLD).square() / self.w_variance).mean()

    def _accumulate_code_alone(self, samples: Samples, rng: torch.Generator) -> dict[str, Tensor]:
        """Add the gradient of one pass under the code loss."""
        photo = self._photographed(dequantize(samples.image_NCHW), rng)
        loss = self._code_loss(self.generator.map(self.encoder(photo)), samples)
        (LOSS_WEIGHTS["code"] * loss).backward()  # type: ignore[no-untyped-call]
        return {"code": loss.detach()}

    def _accumulate_passes(self, samples: Samples, rng: torch.Generator) -> dict[str, Tensor]:
        """Add the gradients of all passes; return the losses of the first and of the last."""
        face = dequantize(samples.image_NCHW)
        photo = self._photographed(face, rng)
        with torch.no_grad():
            wanted_NE, face_NE = self.pictures.identity(photo), self.pictures.identity(face)
        before: EncoderPass | None = None
        scalars: dict[str, Tensor] = {}
        for number in range(1, self.plan.passes + 1):
            code = self.encoder(photo, before)
            w_plus = self.generator.map(code)
            rendering = self.generator.synthesise(w_plus, size=INPUT_PX)
            reached_NE = self.pictures.identity(rendering)
            losses = {"code": self._code_loss(w_plus, samples)}
            losses |= self.pictures(rendering, reached_NE, photo, face_NE, self.plan.rendered)
            loss = torch.stack([LOSS_WEIGHTS[k] * v for k, v in losses.items()]).sum()
            (loss / self.plan.passes).backward()  # type: ignore[no-untyped-call]
            if number in (1, self.plan.passes):
                scalars |= {f"pass {number}/{k}": v.detach() for k, v in losses.items()}
            before = EncoderPass(code.detach(), rendering.detach(), wanted_NE, reached_NE.detach())
        return scalars

    @torch.no_grad()
    def picture(self) -> Image.Image:
        """Render held-out generated faces, and g of their codes, row by row."""
        samples = draw_samples(self.generator, range(HELD_OUT, HELD_OUT + GRID_COLUMNS))
        face = dequantize(samples.image_NCHW)
        identity = self.pictures.identity
        rows = [face]
        for passes in sorted({1, self.plan.passes}):
            code = encode_in_passes(self.encoder, self.generator, identity, face, passes)
            rows.append(self.generator(code, "z_plus", size=INPUT_PX))
        tiles = [tensor_to_image(x) for x in torch.cat(rows)]
        return make_grid(tiles, GRID_COLUMNS)
