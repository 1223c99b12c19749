"""Training of MobileStyleGAN's RGB heads by regression onto its full output, averaged down.

Legend of shape suffixes: N image, C channel, P sampled pixels, L row, D style width.

A head works pixel by pixel. It therefore trains on cached features of a few pixels of many faces,
without running the generator again. Many faces matter more than many pixels, as the mapping from
features to colours differs between faces.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from dualstylegan.finetuning.trainer import Training
from dualstylegan.io.images import make_grid, tensor_to_image
from dualstylegan.networks.mobilestylegan import HEAD_SIZES, MobileStyleGAN, RgbHead

TRUNCATIONS = (1.0, 0.7)
MIXED_EVERY = 2
RIDGE = 1e-4
RIDGE_PIXELS = 200_000
GRID_FACES, GRID_PX = 6, 256


@dataclass(frozen=True)
class PixelSamples:
    """Pixels of N faces for one head: features and colours in half precision."""

    features_NCP: Tensor
    colors_N3P: Tensor


def draw_face(generator: MobileStyleGAN, number: int, seed: int) -> Tensor:
    """Return the W+ code (1, L, D) of a face: truncated if odd, mixed in every other pair."""
    rng = torch.Generator().manual_seed(seed + number)
    z = torch.randn(2, generator.style_dim, generator=rng).to(generator.mean_w.device)
    w = generator.truncate(generator.map(z), TRUNCATIONS[number % len(TRUNCATIONS)])
    crossover = int(torch.randint(1, generator.rows, (), generator=rng))
    mixed = number // len(TRUNCATIONS) % MIXED_EVERY == 1
    return generator.mix(w[:1], w[1:], crossover if mixed else generator.rows)


@torch.no_grad()
def sample_pixels(
    generator: MobileStyleGAN,
    faces: int,
    pixels: int,
    seed: int,
    progress: Callable[[int], None],
) -> tuple[dict[int, PixelSamples], Tensor]:
    """Render faces at full size and sample features and colours of `pixels` pixels of each.

    Returns:
        The samples per head size, and the codes (N, L, D).
    """
    features: dict[int, list[Tensor]] = {size: [] for size in HEAD_SIZES}
    colors: dict[int, list[Tensor]] = {size: [] for size in HEAD_SIZES}
    codes = []
    for number in range(faces):
        w_NLD = draw_face(generator, number, seed)
        rng = torch.Generator().manual_seed(seed + number)
        chosen = {size: torch.randperm(size**2, generator=rng)[:pixels] for size in HEAD_SIZES}
        last = None
        for size, last in generator.features(w_NLD):
            if size in chosen:
                features[size].append(last.flatten(2)[:, :, chosen[size]].half().cpu())
        assert last is not None
        image = generator.to_img(last, w_NLD[:, -1]).float().clamp(-1, 1)
        for size in HEAD_SIZES:
            small = F.adaptive_avg_pool2d(image, size).flatten(2)
            colors[size].append(small[:, :, chosen[size]].half().cpu())
        codes.append(w_NLD)
        progress(number + 1)
    samples = {
        size: PixelSamples(torch.cat(features[size]), torch.cat(colors[size]))
        for size in HEAD_SIZES
    }
    return samples, torch.cat(codes)


@torch.no_grad()
def solve_linear(head: RgbHead, samples: PixelSamples) -> None:
    """Initialise a head's linear map by ridge regression of the colours on the features."""
    every = max(1, samples.features_NCP.shape[0] * samples.features_NCP.shape[2] // RIDGE_PIXELS)
    x = samples.features_NCP[:, :, ::every].transpose(1, 2).flatten(0, 1).double()
    y = samples.colors_N3P[:, :, ::every].transpose(1, 2).flatten(0, 1).double()
    x = torch.cat((x, torch.ones(len(x), 1, dtype=x.dtype)), 1)
    gram = x.T @ x
    gram.diagonal().add_(RIDGE * gram.diagonal().mean())
    solution = torch.linalg.solve(gram, x.T @ y).float()
    head.linear.weight.copy_(solution[:-1].T[:, :, None, None])
    cast(Tensor, head.linear.bias).copy_(solution[-1])


@dataclass(frozen=True)
class HeadPlan:
    """Settings of the heads' training.

    Attributes:
        steps: number of steps, over which the learning rate rises and falls.
        rate: peak learning rate; style modulations learn at a fifth of it.
        faces, pixels: faces of a batch, and pixels per face.
        held_out: number of faces, the first ones, that are used for measures alone.
    """

    steps: int
    rate: float
    faces: int = 48
    pixels: int = 192
    held_out: int = 64

    def factor(self, step: int) -> float:
        """Return the learning rate factor: warm-up over a tenth of the steps, cosine decay."""
        done = (step + 1) / (self.steps + 1)
        return min(1.0, 10 * done) * (0.5 + 0.5 * math.cos(math.pi * done))


class HeadTraining(Training):
    """Training of all heads together, each on its own pixels of the same faces.

    Args:
        generator: generator whose heads are trained; its other weights stay frozen.
        samples, codes_NLD: results of `sample_pixels`.
        plan: settings.
    """

    averaged = "heads"

    def __init__(
        self,
        generator: MobileStyleGAN,
        samples: dict[int, PixelSamples],
        codes_NLD: Tensor,
        plan: HeadPlan,
    ) -> None:
        self.generator = generator
        self.samples = samples
        self.codes_NLD = codes_NLD
        self.plan = plan
        heads = generator.heads.requires_grad_(True)
        seen = slice(plan.held_out, None)
        for size, part in samples.items():
            kept = PixelSamples(part.features_NCP[seen], part.colors_N3P[seen])
            solve_linear(self._head(size), kept)
        styles = [p for name, p in heads.named_parameters() if "styles" in name]
        others = [p for name, p in heads.named_parameters() if "styles" not in name]
        self.rates = (plan.rate / 5, plan.rate)
        self.optimiser = torch.optim.Adam(
            [{"params": styles}, {"params": others}], lr=plan.rate, betas=(0.9, 0.99)
        )
        self.modules = {"heads": heads}
        self.optimisers = {"heads": self.optimiser}

    def _head(self, size: int) -> RgbHead:
        return cast(RgbHead, self.generator.heads[str(size)])

    def errors(self, faces: Tensor, pixels: slice) -> dict[int, Tensor]:
        """Return the mean squared error (N,) per head on a slice of pixels of some faces."""
        codes = self.codes_NLD[faces]
        found = {}
        for size, part in self.samples.items():
            features = part.features_NCP[faces][:, :, pixels, None].float().to(codes.device)
            wanted = part.colors_N3P[faces][:, :, pixels, None].float().to(codes.device)
            found[size] = (self._head(size)(features, codes) - wanted).square().mean((1, 2, 3))
        return found

    def step(self, step: int, rng: torch.Generator) -> dict[str, Tensor]:
        plan = self.plan
        faces = torch.randint(plan.held_out, len(self.codes_NLD), (plan.faces,), generator=rng)
        first = int(torch.randint(self._pixels() - plan.pixels + 1, (), generator=rng))
        errors = self.errors(faces, slice(first, first + plan.pixels))
        loss = torch.stack([error.mean() for error in errors.values()]).sum()
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = rate * plan.factor(step)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return {f"{size} px": decibels(error.detach()) for size, error in errors.items()}

    @torch.no_grad()
    def held_out(self) -> dict[str, float]:
        """Return the mean PSNR per head in dB on the held-out faces."""
        errors = self.errors(torch.arange(self.plan.held_out), slice(0, self._pixels()))
        return {f"{size} px": float(decibels(error)) for size, error in errors.items()}

    def _pixels(self) -> int:
        return next(iter(self.samples.values())).features_NCP.shape[2]

    @torch.no_grad()
    def picture(self) -> Image.Image:
        """Render held-out faces by the full output averaged down and by each head, at one size."""
        tiles = []
        for w_LD in self.codes_NLD[:GRID_FACES]:
            full = self.generator.synthesise(w_LD[None])
            rows = [F.adaptive_avg_pool2d(full, GRID_PX)]
            rows += [self.generator.synthesise(w_LD[None], size=size) for size in HEAD_SIZES]
            tiles.append([F.interpolate(row, (GRID_PX, GRID_PX)) for row in rows])
        return make_grid(
            [tensor_to_image(t[0]) for row in zip(*tiles, strict=True) for t in row], GRID_FACES
        )


def decibels(error_N: Tensor) -> Tensor:
    """Return the mean PSNR in dB of images in [-1, 1] from their mean squared errors."""
    return (10 * torch.log10(4 / error_N)).mean()
