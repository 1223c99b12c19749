"""Inversion of images into Z+ or W+: by the encoder, and by optimisation of the codes.

Legend of shape suffixes: N image, L row, D style width, C channel, H height, W width, S step or
exemplar, K column of the step table, E embedding.

A batch is optimised as if each image were alone: losses are per image, Adam is elementwise, and an
image that has converged does not move again. A step has fixed shapes and no data-dependent control
flow, so that one CUDA graph can hold it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.encoder import INPUT_PX as ENCODER_PX
from dualstylegan.networks.encoder import EncoderPass, PortraitEncoder
from dualstylegan.networks.generator import Generator, Space
from dualstylegan.networks.identity import FaceRecognition
from dualstylegan.networks.masks import Mask, mask_of, within
from dualstylegan.networks.vgg import PerceptualNetwork

Objective = Callable[[Sequence[Tensor]], Tensor]
ADAM_BETAS = (0.9, 0.999)
ADAM_EPS = 1e-8
# Eager steps before the CUDA graph is captured: they allocate memory and tune the convolutions.
WARMUP_STEPS = 3


@dataclass(frozen=True)
class OptimizationSchedule:
    """Length, learning-rate schedule and convergence test of an optimisation of latents.

    Attributes:
        steps: maximum number of steps per image.
        ramp_up, ramp_down: fractions of the steps over which the learning rate rises and falls.
        patience: steps without progress after which an image stops; 0 runs all steps.
        tolerance: relative decrease of the best loss that counts as progress.
    """

    steps: int
    ramp_up: float = 0.05
    ramp_down: float = 0.25
    patience: int = 0
    tolerance: float = 0.005

    def rate(self, step: int) -> float:
        """Return the factor on the learning rate: linear rise, plateau, cosine fall; never zero."""
        done = (step + 1) / (self.steps + 1)
        rise = min(1.0, done / self.ramp_up) if self.ramp_up else 1.0
        fall = min(1.0, (1 - done) / self.ramp_down) if self.ramp_down else 1.0
        return rise * (0.5 - 0.5 * math.cos(math.pi * fall))


@dataclass(frozen=True)
class OptimizationResult:
    """Result of an optimisation of latents.

    Attributes:
        latents: best or last latents of each image; N is the first dimension of each tensor.
        loss_N: the lowest losses.
        initial_loss_N: losses of the initial latents.
        steps_N: number of steps that each image took.
    """

    latents: list[Tensor]
    loss_N: Tensor
    initial_loss_N: Tensor
    steps_N: Tensor


class LatentOptimizer:
    """Adam over several latent tensors under a per-image objective, one step at a time.

    The state consists of tensors that are updated in place, and values that depend on the step
    number are read from a table by a counter on the device: a CUDA graph of `advance` stays valid.

    Args:
        latents, rates, objective, schedule: as for `optimize_latents`.

    Attributes:
        current, best: current latents, and the best so far of each image.
        best_loss_N, initial_loss_N: losses of `best` and of the initial latents.
        steps_N: number of steps that each image took.
        active_N: True for images that have not converged.
    """

    def __init__(
        self,
        latents: Sequence[Tensor],
        rates: Sequence[float],
        objective: Objective,
        schedule: OptimizationSchedule,
    ) -> None:
        self.objective, self.schedule = objective, schedule
        self.current = [x.detach().clone() for x in latents]
        self.best = [x.clone() for x in self.current]
        self.first_moment = [torch.zeros_like(x) for x in self.current]
        self.second_moment = [torch.zeros_like(x) for x in self.current]
        count, device = len(self.current[0]), self.current[0].device
        self.best_loss_N = torch.full((count,), math.inf, device=device)
        self.initial_loss_N = self.best_loss_N.clone()
        # Loss at the last step that counted as progress.
        self.progress_loss_N = self.best_loss_N.clone()
        self.steps_N = torch.zeros(count, dtype=torch.long, device=device)
        self.progress_step_N = torch.zeros_like(self.steps_N)
        self.active_N = torch.ones(count, dtype=torch.bool, device=device)
        self.step = torch.zeros((), dtype=torch.long, device=device)
        # Columns: 1 - beta1^t, 1 - beta2^t, and the learning rate of each latent tensor.
        table = [
            [
                *(1 - beta**t for beta in ADAM_BETAS),
                *(rate * schedule.rate(t - 1) for rate in rates),
            ]
            for t in range(1, schedule.steps + 1)
        ]
        self.table_SK = torch.tensor(table, device=device).view(schedule.steps, 2 + len(rates))

    def advance(self) -> None:
        """Take one Adam step for every active image."""
        leaves = [x.detach().requires_grad_(True) for x in self.current]
        loss_N = self.objective(leaves)
        gradients = torch.autograd.grad(loss_N.sum(), leaves)
        with torch.no_grad():
            self._record(loss_N.detach())
            first_correction, second_correction, *rates = self.table_SK.index_select(
                0, self.step.view(1)
            )[0].unbind()
            for i, gradient in enumerate(gradients):
                self.first_moment[i].lerp_(gradient, 1 - ADAM_BETAS[0])
                self.second_moment[i].lerp_(gradient.square(), 1 - ADAM_BETAS[1])
                scale = (self.second_moment[i] / second_correction).sqrt() + ADAM_EPS
                mean = self.first_moment[i] / first_correction
                updated = self.current[i] - rates[i] * mean / scale
                self.current[i].copy_(self._select(self.active_N, updated, self.current[i]))
            self.steps_N += self.active_N
            if self.schedule.patience:
                self.active_N &= self.step - self.progress_step_N < self.schedule.patience
            self.step += 1

    @torch.no_grad()
    def evaluate(self) -> None:
        """Compute the losses of the current latents and record the best, without a step."""
        self._record(self.objective(self.current))

    def _record(self, loss_N: Tensor) -> None:
        """Record losses of active images: the initial ones, the best ones, and progress."""
        self.initial_loss_N.copy_(torch.where(self.step == 0, loss_N, self.initial_loss_N))
        better_N = self.active_N & (loss_N < self.best_loss_N)
        for best, current in zip(self.best, self.current, strict=True):
            best.copy_(self._select(better_N, current, best))
        self.best_loss_N.copy_(torch.where(better_N, loss_N, self.best_loss_N))
        threshold_N = self.progress_loss_N * (1 - self.schedule.tolerance)
        progress_N = self.active_N & (loss_N < threshold_N)
        self.progress_loss_N.copy_(torch.where(progress_N, loss_N, self.progress_loss_N))
        self.progress_step_N.copy_(torch.where(progress_N, self.step, self.progress_step_N))

    @staticmethod
    def _select(mask_N: Tensor, new: Tensor, old: Tensor) -> Tensor:
        return torch.where(mask_N.view(-1, *[1] * (old.ndim - 1)), new, old)


def as_cuda_graph(work: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """Capture `work`, already warmed up, as a CUDA graph; on the CPU return it unchanged."""
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
    schedule: OptimizationSchedule,
    progress: Callable[[int], None] | None = None,
    *,
    keep_last: bool = False,
) -> OptimizationResult:
    """Minimise a per-image objective over several latent tensors by Adam.

    Args:
        latents: initial values; N is the first dimension of each.
        rates: peak learning rate of each tensor.
        objective: maps the latents to the losses (N,) of the images.
        schedule: schedule and convergence test; with a patience, the device is synchronised after
            each step to see if an image is still active.
        progress: called with the number of steps done.
        keep_last: return the latents after the last step, not those of the lowest loss: for
            objectives that change from step to step.
    """
    optimizer = LatentOptimizer(latents, rates, objective, schedule)
    advance = optimizer.advance
    for step in range(schedule.steps):
        if step == WARMUP_STEPS:
            advance = as_cuda_graph(optimizer.advance, optimizer.step.device)
        advance()
        if progress is not None:
            progress(step + 1)
        if schedule.patience and not bool(optimizer.active_N.any()):
            break
    if not keep_last:
        optimizer.evaluate()
    return OptimizationResult(
        optimizer.current if keep_last else optimizer.best,
        optimizer.best_loss_N,
        optimizer.initial_loss_N,
        optimizer.steps_N,
    )


@torch.no_grad()
def encode(encoder: nn.Module, image_NCHW: Tensor) -> Tensor:
    """Encode aligned faces (N, 3, any, any) in [-1, 1] to codes (N, L, D), without gradients."""
    codes: Tensor = encoder(image_NCHW)
    return codes


@torch.no_grad()
def encode_in_passes(
    encoder: nn.Module,
    generator: Generator,
    identity: FaceRecognition,
    image_NCHW: Tensor,
    passes: int,
    mask_N1HW: Mask = None,
) -> Tensor:
    """Encode aligned faces in several passes (ReStyle), without gradients.

    Each pass after the first compares the faces with g of their codes and corrects these.

    Args:
        encoder: E; an encoder without further passes takes one, whatever `passes` says.
        generator: g, in whose Z+ the codes are.
        identity: dlib's face recognition.
        image_NCHW: aligned faces (N, 3, any, any) in [-1, 1].
        passes: at least 1.
        mask_N1HW: of what lies inside of the pictures; the corrections see no difference outside.

    Returns:
        Z+ codes (N, L, D).
    """
    code_NLD = encode(encoder, image_NCHW)
    if passes == 1 or not isinstance(encoder, PortraitEncoder):
        return code_NLD
    small_NCHW = resize_images(image_NCHW, ENCODER_PX)
    wanted_NE, mask = identity(small_NCHW), mask_of(mask_N1HW, small_NCHW)
    size = generator.size_up_to(ENCODER_PX)
    for _ in range(passes - 1):
        rendering = resize_images(generator(code_NLD, "z_plus", size=size), ENCODER_PX)
        rendering = within(mask, rendering, small_NCHW)
        before = EncoderPass(code_NLD, rendering, wanted_NE, identity(rendering))
        code_NLD = encoder(image_NCHW, before)
    return code_NLD


@dataclass(frozen=True)
class IdentityTerm:
    """Identity term of an inversion: the distance to the faces' own embeddings, weighted.

    Attributes:
        network: frozen face recognition.
        target_NE: embeddings of the faces.
        px: side in pixels to which renderings are enlarged: that of the embedded faces.
        weight: of the distance.
        mask_N1HW, image_NCHW: of what lies inside of the faces' pictures, and the faces; None: all.
    """

    network: FaceRecognition
    target_NE: Tensor
    px: int
    weight: float
    mask_N1HW: Mask = None
    image_NCHW: Tensor | None = None

    @classmethod
    @torch.no_grad()
    def of_faces(
        cls,
        network: FaceRecognition,
        image_NCHW: Tensor,
        weight: float,
        mask_N1HW: Mask = None,
    ) -> IdentityTerm:
        """Return the term whose targets are aligned faces (N, 3, any, any) in [-1, 1]."""
        px = image_NCHW.shape[-1]
        return cls(network, network(image_NCHW), px, weight, mask_N1HW, image_NCHW)

    def __call__(self, rendered_NCHW: Tensor) -> Tensor:
        """Compute the term (N,) of renderings in [-1, 1]."""
        enlarged_NCHW = resize_images(rendered_NCHW, self.px)
        if self.image_NCHW is not None:
            enlarged_NCHW = within(self.mask_N1HW, enlarged_NCHW, self.image_NCHW)
        embedding_NE = self.network(enlarged_NCHW)
        return self.weight * self.network.distance(embedding_NE, self.target_NE)


class RestyledIdentity:
    """Identity term of G(code, z_e+, w): that of an inversion, after restyling.

    Each step restyles after the next exemplar: a code that keeps the person in some styles keeps
    them in others. A counter on the device selects the exemplar, so that a CUDA graph can hold the
    step.

    Args:
        network: frozen G.
        style_SLD: codes of the exemplars in W+, in the order of the steps.
        identity: term that the restyled faces are compared by.
        size: side of the restyled faces in pixels, one that G renders.
        structure, color: style weights w.
    """

    def __init__(
        self,
        network: DualStyleGAN,
        style_SLD: Tensor,
        identity: IdentityTerm,
        size: int,
        structure: float = 1.0,
        color: float = 1.0,
    ) -> None:
        self.network, self.style_SLD = network, style_SLD
        self.identity, self.size = identity, size
        self.weights = network.weights(structure, color)
        self.step = torch.zeros(1, dtype=torch.long, device=style_SLD.device)

    def __call__(self, code_NLD: Tensor) -> Tensor:
        """Compute the term (N,) of Z+ codes and move on to the next exemplar."""
        style_1LD = self.style_SLD.index_select(0, self.step % len(self.style_SLD))
        style_NLD = style_1LD.expand(len(code_NLD), -1, -1)
        self.step += 1
        return self.identity(self.network(code_NLD, style_NLD, self.weights, size=self.size))


def invert(
    generator: Generator,
    lpips: PerceptualNetwork,
    image_NCHW: Tensor,
    start: Tensor,
    schedule: OptimizationSchedule,
    *,
    space: Space,
    rate: float,
    pixel_weight: float,
    identity: IdentityTerm | None = None,
    restyled: RestyledIdentity | None = None,
    mask_N1HW: Mask = None,
    progress: Callable[[int], None] | None = None,
) -> OptimizationResult:
    """Optimise codes until g renders the images: LPIPS, mean absolute difference, identity.

    Args:
        generator, lpips: frozen networks.
        image_NCHW: targets in [-1, 1], of a size that the generator renders.
        start: initial codes (N, L, D) in `space`.
        schedule: see `optimize_latents`.
        space: "z_plus" or "w_plus".
        rate: peak learning rate.
        pixel_weight: weight of the mean absolute difference.
        identity: identity term; None leaves it out.
        restyled: identity term after restyling, for codes in Z+; None leaves it out.
        mask_N1HW: of what lies inside of the targets' pictures; nothing else counts.
        progress: called with the number of steps done.
    """
    size, mask = image_NCHW.shape[-1], mask_of(mask_N1HW, image_NCHW)
    with torch.no_grad():
        features = lpips.features(image_NCHW)

    def objective(latents: Sequence[Tensor]) -> Tensor:
        rendered = within(mask, generator(latents[0], space, size=size), image_NCHW)
        pixels = (rendered - image_NCHW).abs().mean((1, 2, 3))
        loss: Tensor = lpips.distance(lpips.features(rendered), features) + pixel_weight * pixels
        if identity is not None:
            loss = loss + identity(rendered)
        return loss if restyled is None else loss + restyled(latents[0])

    keep_last = restyled is not None
    return optimize_latents([start], [rate], objective, schedule, progress, keep_last=keep_last)


def resize_images(image_NCHW: Tensor, size: int) -> Tensor:
    """Resize images to `size` pixels, bilinearly and anti-aliased."""
    if image_NCHW.shape[-1] == size:
        return image_NCHW
    resized: Tensor = F.interpolate(image_NCHW, (size, size), mode="bilinear", antialias=True)
    return resized
