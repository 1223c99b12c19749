"""Inversion: from images to latent codes, by the encoder and by optimisation, into Z+ or W+.

Legend of shape suffixes: N image, L row, D style width, C channel, H height, W width.

Images are optimised side by side, yet each as if alone: losses are per image, Adam is elementwise,
and an image leaves the batch when it has converged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualstylegan.networks.generator import Generator, Space
from dualstylegan.networks.vgg import Perceptual

Objective = Callable[[Sequence[Tensor], Tensor], Tensor]
ADAM_BETAS = (0.9, 0.999)
ADAM_EPS = 1e-8


@dataclass(frozen=True)
class DescentPlan:
    """How long and how fast latents are optimised.

    Attributes:
        steps: most steps an image takes.
        ramp_up, ramp_down: shares of the steps in which the learning rate rises and falls.
        patience: steps without progress after which an image stops; 0 runs all steps.
        tolerance: relative gain of the best loss that counts as progress.
    """

    steps: int
    ramp_up: float = 0.05
    ramp_down: float = 0.25
    patience: int = 0
    tolerance: float = 0.005

    def rate(self, step: int) -> float:
        """Factor on the learning rate: linear rise, plateau, cosine fall; never zero."""
        done = (step + 1) / (self.steps + 1)
        rise = min(1.0, done / self.ramp_up) if self.ramp_up else 1.0
        fall = min(1.0, (1 - done) / self.ramp_down) if self.ramp_down else 1.0
        return rise * (0.5 - 0.5 * math.cos(math.pi * fall))


@dataclass(frozen=True)
class Descent:
    """Result of an optimisation: the best latents, their losses, and the steps each took."""

    latents: list[Tensor]
    loss_N: Tensor
    first_loss_N: Tensor
    steps_N: Tensor


def descend(
    latents: Sequence[Tensor],
    rates: Sequence[float],
    objective: Objective,
    plan: DescentPlan,
    progress: Callable[[int], None] | None = None,
) -> Descent:
    """Minimise a per-image objective over several latent tensors by Adam.

    Args:
        latents: start values, each with N as its first dimension.
        rates: peak learning rate of each.
        objective: from the latents of the images still active and their indices (n,) to their
            losses (n,).
        plan: schedule and convergence test.
        progress: told how many steps are done.
    """
    best = [x.detach().clone() for x in latents]
    device = best[0].device
    count = len(best[0])
    best_loss = torch.full((count,), math.inf, device=device)
    first_loss, mark = best_loss.clone(), best_loss.clone()
    last_gain = torch.zeros(count, dtype=torch.long, device=device)
    steps = torch.zeros(count, dtype=torch.long, device=device)
    active = torch.arange(count, device=device)
    now = [x.clone() for x in best]
    mean = [torch.zeros_like(x) for x in best]
    square = [torch.zeros_like(x) for x in best]
    for step in range(plan.steps + 1):
        leaves = [x.requires_grad_(True) for x in now]
        loss_n = objective(leaves, active)
        value = loss_n.detach()
        if step == 0:
            first_loss[active] = value
        better = value < best_loss[active]
        best_loss[active[better]] = value[better]
        for kept, x in zip(best, now, strict=True):
            kept[active[better]] = x.detach()[better]
        gained = value < mark[active] * (1 - plan.tolerance)
        mark[active[gained]] = value[gained]
        last_gain[active[gained]] = step
        if step == plan.steps:
            break
        gradients = torch.autograd.grad(loss_n.sum(), leaves)
        with torch.no_grad():
            for i, gradient in enumerate(gradients):
                mean[i].lerp_(gradient, 1 - ADAM_BETAS[0])
                square[i].lerp_(gradient.square(), 1 - ADAM_BETAS[1])
                unbiased = mean[i] / (1 - ADAM_BETAS[0] ** (step + 1))
                spread = (square[i] / (1 - ADAM_BETAS[1] ** (step + 1))).sqrt() + ADAM_EPS
                now[i] = now[i].detach() - rates[i] * plan.rate(step) * unbiased / spread
            steps[active] += 1
            going = (step - last_gain[active] < plan.patience) | (plan.patience == 0)
            if not bool(going.all()):
                active = active[going]
                now, mean, square = ([x[going] for x in xs] for xs in (now, mean, square))
        if progress is not None:
            progress(step + 1)
        if not len(active):
            break
    return Descent(best, best_loss, first_loss, steps)


@torch.no_grad()
def encode(encoder: nn.Module, image_NCHW: Tensor) -> Tensor:
    """E(I): aligned faces in [-1, 1] to codes (N, L, D)."""
    codes: Tensor = encoder(image_NCHW)
    return codes


@torch.no_grad()
def closest_start(
    generator: Generator, lpips: Perceptual, image_NCHW: Tensor, candidates: int, seed: int
) -> Tensor:
    """The closest of some random codes for each image, as Z+ rows (N, L, D).

    All rows start together: from independent random rows the optimisation stays noise.
    """
    draw = torch.Generator().manual_seed(seed)
    z = torch.randn(candidates, generator.style_dim, generator=draw).to(image_NCHW.device)
    size = image_NCHW.shape[-1]
    faces = lpips.features(generator(z, truncation=0.7, size=size))
    chosen = []
    for image_CHW in image_NCHW:
        target = lpips.features(image_CHW[None])  # one image, broadcast against all faces
        chosen.append(z[lpips.distance(faces, target).argmin()])
    return torch.stack(chosen)[:, None].expand(-1, generator.rows, -1).contiguous()


def invert(
    generator: Generator,
    lpips: Perceptual,
    image_NCHW: Tensor,
    start: Tensor,
    plan: DescentPlan,
    *,
    space: Space,
    rate: float,
    pixel_weight: float,
    progress: Callable[[int], None] | None = None,
) -> Descent:
    """Optimise codes until g renders the images: LPIPS and mean absolute difference.

    Args:
        generator, lpips: frozen networks.
        image_NCHW: targets in [-1, 1], of a size that the generator renders.
        start: first codes (N, L, D) in `space`.
        plan, rate: schedule and peak learning rate.
        space: "z_plus" or "w_plus".
        pixel_weight: weight of the mean absolute difference.
    """
    size = image_NCHW.shape[-1]
    with torch.no_grad():
        features = lpips.features(image_NCHW)

    def objective(latents: Sequence[Tensor], active: Tensor) -> Tensor:
        rendered = generator(latents[0], space, size=size)
        target = [f[active] for f in features]
        pixels = (rendered - image_NCHW[active]).abs().mean((1, 2, 3))
        loss: Tensor = lpips.distance(lpips.features(rendered), target) + pixel_weight * pixels
        return loss

    return descend([start], [rate], objective, plan, progress)


def at_size(image_NCHW: Tensor, size: int) -> Tensor:
    """Images resized to `size` pixels, anti-aliased."""
    if image_NCHW.shape[-1] == size:
        return image_NCHW
    resized: Tensor = F.interpolate(image_NCHW, (size, size), mode="bilinear", antialias=True)
    return resized
