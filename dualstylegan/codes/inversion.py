"""Inversion: from images to latent codes, by the encoder and by optimisation, into Z+ or W+.

Legend of shape suffixes: N image, L row, D style width, C channel, H height, W width.

Images are optimised side by side, yet each as if alone: losses are per image, Adam is elementwise,
and an image that has converged moves no more. A step has fixed shapes and waits for no number, so
that on a GPU one CUDA graph holds it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualstylegan.networks.generator import Generator, Space
from dualstylegan.networks.vgg import PerceptualNetwork

Objective = Callable[[Sequence[Tensor]], Tensor]
ADAM_BETAS = (0.9, 0.999)
ADAM_EPS = 1e-8
WARM_STEPS = 3


@dataclass(frozen=True)
class OptimizationSchedule:
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
class OptimizationResult:
    """Result of an optimisation: the best latents, their losses, and the steps each took."""

    latents: list[Tensor]
    loss_N: Tensor
    initial_loss_N: Tensor
    steps_N: Tensor


class LatentOptimizer:
    """Adam over several latent tensors under a per-image objective, one step at a time.

    Everything that changes lives in tensors that are changed in place, and whatever depends on the
    step's number is read from a table by a counter on the device.

    Args:
        latents, rates, objective, plan: see `optimize_latents`.
    """

    def __init__(
        self,
        latents: Sequence[Tensor],
        rates: Sequence[float],
        objective: Objective,
        plan: OptimizationSchedule,
    ) -> None:
        self.objective, self.plan = objective, plan
        self.now = [x.detach().clone() for x in latents]
        self.best = [x.clone() for x in self.now]
        self.mean = [torch.zeros_like(x) for x in self.now]
        self.square = [torch.zeros_like(x) for x in self.now]
        count, device = len(self.now[0]), self.now[0].device
        self.best_loss_N = torch.full((count,), math.inf, device=device)
        self.initial_loss_N, self.mark_N = self.best_loss_N.clone(), self.best_loss_N.clone()
        self.steps_N = torch.zeros(count, dtype=torch.long, device=device)
        self.last_gain_N = torch.zeros_like(self.steps_N)
        self.active_N = torch.ones(count, dtype=torch.bool, device=device)
        self.step = torch.zeros((), dtype=torch.long, device=device)
        # Columns: 1 - beta1^t, 1 - beta2^t, and the learning rate of each latent tensor.
        table = [
            [*(1 - beta**t for beta in ADAM_BETAS), *(rate * plan.rate(t - 1) for rate in rates)]
            for t in range(1, plan.steps + 1)
        ]
        self.table_SK = torch.tensor(table, device=device).view(plan.steps, 2 + len(rates))

    def advance(self) -> None:
        """One step of Adam for every image that is still going."""
        leaves = [x.detach().requires_grad_(True) for x in self.now]
        loss_N = self.objective(leaves)
        gradients = torch.autograd.grad(loss_N.sum(), leaves)
        with torch.no_grad():
            self._note(loss_N.detach())
            unbias, unspread, *rates = self.table_SK.index_select(0, self.step.view(1))[0].unbind()
            for i, gradient in enumerate(gradients):
                self.mean[i].lerp_(gradient, 1 - ADAM_BETAS[0])
                self.square[i].lerp_(gradient.square(), 1 - ADAM_BETAS[1])
                spread = (self.square[i] / unspread).sqrt() + ADAM_EPS
                moved = self.now[i] - rates[i] * (self.mean[i] / unbias) / spread
                self.now[i].copy_(self._chosen(self.active_N, moved, self.now[i]))
            self.steps_N += self.active_N
            if self.plan.patience:
                self.active_N &= self.step - self.last_gain_N < self.plan.patience
            self.step += 1

    @torch.no_grad()
    def look(self) -> None:
        """Judge the latents as they are, without a step."""
        self._note(self.objective(self.now))

    def _note(self, loss_N: Tensor) -> None:
        """Keep what is better than before, of the images that are still going."""
        self.initial_loss_N.copy_(torch.where(self.step == 0, loss_N, self.initial_loss_N))
        better_N = self.active_N & (loss_N < self.best_loss_N)
        for best, now in zip(self.best, self.now, strict=True):
            best.copy_(self._chosen(better_N, now, best))
        self.best_loss_N.copy_(torch.where(better_N, loss_N, self.best_loss_N))
        gained_N = self.active_N & (loss_N < self.mark_N * (1 - self.plan.tolerance))
        self.mark_N.copy_(torch.where(gained_N, loss_N, self.mark_N))
        self.last_gain_N.copy_(torch.where(gained_N, self.step, self.last_gain_N))

    @staticmethod
    def _chosen(mask_N: Tensor, new: Tensor, old: Tensor) -> Tensor:
        return torch.where(mask_N.view(-1, *[1] * (old.ndim - 1)), new, old)


def as_cuda_graph(work: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """On a GPU one CUDA graph of `work`, which has run a few times before; else `work` itself."""
    if device.type != "cuda":
        return work
    torch.cuda.synchronize(device)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def optimize_latents(
    latents: Sequence[Tensor],
    rates: Sequence[float],
    objective: Objective,
    plan: OptimizationSchedule,
    progress: Callable[[int], None] | None = None,
) -> OptimizationResult:
    """Minimise a per-image objective over several latent tensors by Adam.

    Args:
        latents: start values, each with N as its first dimension.
        rates: peak learning rate of each.
        objective: from the latents to the losses (N,) of the images.
        plan: schedule and convergence test; with patience, all images are asked after each step
            whether one is still going.
        progress: told how many steps are done.
    """
    state = LatentOptimizer(latents, rates, objective, plan)
    advance = state.advance
    for step in range(plan.steps):
        if step == WARM_STEPS:
            advance = as_cuda_graph(state.advance, state.step.device)
        advance()
        if progress is not None:
            progress(step + 1)
        if plan.patience and not bool(state.active_N.any()):
            break
    state.look()
    return OptimizationResult(state.best, state.best_loss_N, state.initial_loss_N, state.steps_N)


@torch.no_grad()
def encode(encoder: nn.Module, image_NCHW: Tensor) -> Tensor:
    """E(I): aligned faces in [-1, 1] to codes (N, L, D)."""
    codes: Tensor = encoder(image_NCHW)
    return codes


@torch.no_grad()
def nearest_random_code(
    generator: Generator, lpips: PerceptualNetwork, image_NCHW: Tensor, candidates: int, seed: int
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
    lpips: PerceptualNetwork,
    image_NCHW: Tensor,
    start: Tensor,
    plan: OptimizationSchedule,
    *,
    space: Space,
    rate: float,
    pixel_weight: float,
    progress: Callable[[int], None] | None = None,
) -> OptimizationResult:
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

    def objective(latents: Sequence[Tensor]) -> Tensor:
        rendered = generator(latents[0], space, size=size)
        pixels = (rendered - image_NCHW).abs().mean((1, 2, 3))
        loss: Tensor = lpips.distance(lpips.features(rendered), features) + pixel_weight * pixels
        return loss

    return optimize_latents([start], [rate], objective, plan, progress)


def fit(
    generator: Generator,
    encoder: nn.Module,
    lpips: PerceptualNetwork,
    image_NCHW: Tensor,
    *,
    size: int,
    steps: int,
    rate: float,
    pixel_weight: float,
    progress: Callable[[int], None] | None = None,
) -> OptimizationResult:
    """Fit Z+ codes to aligned faces: the encoder's codes, then inversion at `size` pixels.

    The pipeline's codes of faces and exemplars and `PortraitModel.transfer` come from here, so
    that the same aligned face has the same code everywhere.

    Args:
        generator, encoder, lpips: frozen networks.
        image_NCHW: faces in [-1, 1], no smaller than `size`.
        size: side in pixels at which rendering and face are compared.
        steps, rate, pixel_weight: of `invert`; at least one step.
    """
    return invert(
        generator,
        lpips,
        resize_images(image_NCHW, size),
        encode(encoder, image_NCHW),
        OptimizationSchedule(steps),
        space="z_plus",
        rate=rate,
        pixel_weight=pixel_weight,
        progress=progress,
    )


def resize_images(image_NCHW: Tensor, size: int) -> Tensor:
    """Images resized to `size` pixels, anti-aliased."""
    if image_NCHW.shape[-1] == size:
        return image_NCHW
    resized: Tensor = F.interpolate(image_NCHW, (size, size), mode="bilinear", antialias=True)
    return resized
