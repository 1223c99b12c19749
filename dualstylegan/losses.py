"""Every loss term of the method, each a value per image so that no batch mate matters.

Legend of shape suffixes: N image, C channel, H height, W width, P position, L row, D style width.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from dualstylegan.networks.layers import widened

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
    (gradient,) = torch.autograd.grad((image_NCHW * scaled).sum(), w_NLD, create_graph=True)
    return gradient.square().sum(2).mean(1).sqrt()


def perceptual(
    first: Sequence[Tensor], second: Sequence[Tensor], weights: Sequence[float]
) -> Tensor:
    """Weighted mean absolute difference of feature maps (Johnson et al., 2016). Shape (N,)."""
    terms = [
        weight * (widened(a) - widened(b)).abs().mean((1, 2, 3))
        for a, b, weight in zip(first, second, weights, strict=True)
        if weight
    ]
    return torch.stack(terms).sum(0)


def feature_matching(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
    """L_FM: squared difference of globally averaged feature maps (section 3.3). Shape (N,)."""
    terms = [
        (widened(a).mean((2, 3)) - widened(b).mean((2, 3))).square().mean(1)
        for a, b in zip(first, second, strict=True)
    ]
    return torch.stack(terms).sum(0)


def _contextual_block(x_PC: Tensor, y_PC: Tensor, bandwidth: float) -> Tensor:
    """For each y the largest affinity of any of these x: rows of x are independent."""
    distance = 1 - x_PC @ y_PC.T
    relative = distance / (distance.amin(1, keepdim=True) + EPS)
    affinity = torch.softmax((1 - relative) / bandwidth, 1)
    return affinity.amax(0)


def contextual(
    x_NCHW: Tensor,
    y_NCHW: Tensor,
    bandwidth: float = CONTEXTUAL_BANDWIDTH,
    block: int = 1024,
    center_1C11: Tensor | None = None,
) -> Tensor:
    """L_CX, contextual loss with cosine distances (Mechrez et al., 2018). Shape (N,).

    The P x P affinities are formed `block` rows at a time and recomputed in the backward pass, so
    that memory grows with block * P and not with P * P.

    Args:
        x_NCHW: features of the result.
        y_NCHW: features of the target.
        center_1C11: what both are centred by; each target's own mean by default, so that no batch
            mate matters (the published code takes the mean over the batch).
        bandwidth: h of the paper.
        block: positions of x handled at once.
    """
    center = widened(y_NCHW).mean((2, 3), keepdim=True) if center_1C11 is None else center_1C11
    x_NPC, y_NPC = (
        F.normalize(widened(f) - center, dim=1).flatten(2).transpose(1, 2) for f in (x_NCHW, y_NCHW)
    )
    losses = []
    for x_PC, y_PC in zip(x_NPC, y_NPC, strict=True):
        best: Tensor | None = None
        for part in x_PC.split(block):
            if len(x_PC) > block:
                found = checkpoint(_contextual_block, part, y_PC, bandwidth, use_reentrant=False)
            else:
                found = _contextual_block(part, y_PC, bandwidth)
            best = found if best is None else torch.maximum(best, found)
        assert best is not None
        losses.append(-torch.log(best.mean() + EPS))
    return torch.stack(losses)


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
