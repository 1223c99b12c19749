"""Every loss term of the method, each a value per image so that no batch mate matters.

Legend of shape suffixes: N image, C channel, H height, W width, P position, L row, D style width.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from dualstylegan.networks.double_backward import no_weight_gradients
from dualstylegan.networks.layers import upcast

CONTEXTUAL_BANDWIDTH = 0.2
EPS = 1e-5


def generator_adversarial(logits_N1: Tensor) -> Tensor:
    """Non-saturating logistic loss of the generator: softplus(-D(fake)). Shape (N,)."""
    return F.softplus(-logits_N1).flatten()


def discriminator_adversarial(real_N1: Tensor, fake_N1: Tensor) -> Tensor:
    """Logistic loss of the discriminator: softplus(-D(real)) + softplus(D(fake)). Shape (N,)."""
    return (F.softplus(-real_N1) + F.softplus(fake_N1)).flatten()


def r1_penalty(discriminator: nn.Module, real_NCHW: Tensor) -> Tensor:
    """R1 (Mescheder et al., 2018): squared norm of D's gradient at real images. Shape (N,)."""
    real_NCHW = real_NCHW.detach().requires_grad_(True)
    logits = discriminator(real_NCHW)
    with no_weight_gradients():
        (gradient,) = torch.autograd.grad(logits.sum(), real_NCHW, create_graph=True)
    return gradient.square().sum((1, 2, 3))


def path_lengths(image_NCHW: Tensor, w_NLD: Tensor, noise_NCHW: Tensor) -> Tensor:
    """Path lengths (StyleGAN2, section 3.2): norm of J_w^T y, averaged over rows. Shape (N,).

    Args:
        image_NCHW: images rendered from `w_NLD` with gradients.
        w_NLD: the W+ codes.
        noise_NCHW: standard normal image y.
    """
    scaled = noise_NCHW / math.sqrt(image_NCHW.shape[2] * image_NCHW.shape[3])
    with no_weight_gradients():
        (gradient,) = torch.autograd.grad((image_NCHW * scaled).sum(), w_NLD, create_graph=True)
    return gradient.square().sum(2).mean(1).sqrt()


def perceptual(
    first: Sequence[Tensor], second: Sequence[Tensor], weights: Sequence[float]
) -> Tensor:
    """Weighted mean absolute difference of feature maps (Johnson et al., 2016). Shape (N,)."""
    terms = [
        weight * (upcast(a) - upcast(b)).abs().mean((1, 2, 3))
        for a, b, weight in zip(first, second, weights, strict=True)
        if weight
    ]
    return torch.stack(terms).sum(0)


def feature_matching(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
    """L_FM: squared difference of globally averaged feature maps (section 3.3). Shape (N,)."""
    terms = [
        (upcast(a).mean((2, 3)) - upcast(b).mean((2, 3))).square().mean(1)
        for a, b in zip(first, second, strict=True)
    ]
    return torch.stack(terms).sum(0)


def _affinity(x_PC: Tensor, y_QC: Tensor, bandwidth: float) -> Tensor:
    """Affinities of each x to all y (P, Q), of sum one for each x: rows are independent.

    w_ij = exp((1 - d_ij / (min_j d_ij + eps)) / h) with d = 1 - s is exp(k_i s_ij) times a factor
    of its row, k_i = 1 / (h (1 - max_j s_ij + eps)), and normalising takes the factor away.
    """
    similarity = x_PC @ y_QC.T
    sharpness = 1 / (bandwidth * (1 - similarity.amax(1, keepdim=True) + EPS))
    return torch.softmax(sharpness * similarity, 1)


class _BestAffinity(torch.autograd.Function):
    """For each y the largest affinity of any x to it, (Q,).

    The affinities are formed `block` rows at a time and none is kept. Only rows that are some y's
    best have a gradient, about two in five on real features: the backward pass forms these anew.
    """

    @staticmethod
    def forward(ctx: Any, x_PC: Tensor, y_QC: Tensor, bandwidth: float, block: int) -> Tensor:
        best_Q = x_PC.new_full((len(y_QC),), -1.0)
        row_Q = torch.zeros(len(y_QC), dtype=torch.long, device=x_PC.device)
        for start in range(0, len(x_PC), block):
            found, row = _affinity(x_PC[start : start + block], y_QC, bandwidth).max(0)
            row_Q = torch.where(found > best_Q, row + start, row_Q)
            best_Q = torch.maximum(found, best_Q)
        ctx.save_for_backward(x_PC, y_QC, row_Q)
        ctx.bandwidth, ctx.block = bandwidth, block
        return best_Q

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        x_PC, y_QC, row_Q = ctx.saved_tensors
        # On a GPU all rows: their number stays the same, and nothing waits for it.
        rows = torch.arange(len(x_PC), device=x_PC.device) if x_PC.is_cuda else row_Q.unique()
        x_slope = torch.zeros_like(x_PC)
        y_slope = torch.zeros_like(y_QC) if ctx.needs_input_grad[1] else None
        y = y_QC.detach().requires_grad_(y_slope is not None)
        for part in rows.split(ctx.block):
            with torch.enable_grad():
                x = x_PC[part].detach().requires_grad_(True)
                affinity = _affinity(x, y, ctx.bandwidth)
            chosen = torch.where(part[:, None] == row_Q, slopes[0], 0)
            wanted = [x] if y_slope is None else [x, y]
            x_slope[part], *rest = torch.autograd.grad(affinity, wanted, chosen)
            if y_slope is not None:
                y_slope += rest[0]
        return x_slope, y_slope, None, None


def contextual(
    x_NCHW: Tensor,
    y_NCHW: Tensor,
    bandwidth: float = CONTEXTUAL_BANDWIDTH,
    block: int = 512,
    center_1C11: Tensor | None = None,
) -> Tensor:
    """L_CX, contextual loss with cosine distances (Mechrez et al., 2018). Shape (N,).

    Memory grows with block * P and not with the P * P affinities, see `_BestAffinity`.

    Args:
        x_NCHW: features of the result.
        y_NCHW: features of the target.
        center_1C11: what both are centred by; each target's own mean by default, so that no batch
            mate matters (the published code takes the mean over the batch).
        bandwidth: h of the paper.
        block: positions of x handled at once.
    """
    center = upcast(y_NCHW).mean((2, 3), keepdim=True) if center_1C11 is None else center_1C11
    x_NPC, y_NPC = (
        F.normalize(upcast(f) - center, dim=1).flatten(2).transpose(1, 2) for f in (x_NCHW, y_NCHW)
    )
    best = [
        _BestAffinity.apply(x_PC, y_PC, bandwidth, block)  # type: ignore[no-untyped-call]
        for x_PC, y_PC in zip(x_NPC, y_NPC, strict=True)
    ]
    return -torch.log(torch.stack(best).mean(1) + EPS)


def weight_norms(parameters: Iterable[Tensor]) -> Tensor:
    """L_reg (section 3.3): sum of the norms of the given weights, those of ModRes in the paper."""
    return torch.stack([p.norm() for p in parameters]).sum()


def row_spread(codes_NLD: Tensor) -> Tensor:
    """Spread of a code's rows (Eq. 1): standard deviation over rows, mean over D. Shape (N,)."""
    return codes_NLD.std(1).mean(1)


def noise_autocorrelation(noise_N1HW: Tensor) -> Tensor:
    """Noise regulariser of StyleGAN2's projector: correlation with shifted selves. Shape (N,)."""
    total = noise_N1HW.new_zeros(len(noise_N1HW))
    x = noise_N1HW
    while True:
        for dim in (2, 3):
            total = total + (x * x.roll(1, dim)).mean((1, 2, 3)).square()
        if x.shape[-1] <= 8:
            return total
        x = F.avg_pool2d(x, 2)
