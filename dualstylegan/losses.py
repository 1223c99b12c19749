"""Loss terms of the method, each a value per image that does not depend on the rest of the batch.

L_distinction alone compares images with each other, and is one value per batch.

Legend of shape suffixes: N image, C channel, H height, W width, P position of x, Q position of y,
L row, D style width, E identity width.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from dualstylegan.io.images import luma
from dualstylegan.networks.double_backward import no_weight_gradients
from dualstylegan.networks.layers import upcast
from dualstylegan.networks.masks import Mask, mask_of, masked_mean

CONTEXTUAL_BANDWIDTH = 0.2  # h of the contextual loss
EPS = 1e-5
# Of positions that a mask leaves out: below any cosine; and a finite logit of probability zero.
NO_SIMILARITY, NO_AFFINITY = -2.0, -1e6
TONE_PX = 8


# Adversarial loss L_adv (Goodfellow et al., 2014; StyleGAN2).


def generator_adversarial(logits_N1: Tensor) -> Tensor:
    """Compute G's non-saturating logistic loss, softplus(-D(fake)), from logits. Shape (N,)."""
    return F.softplus(-logits_N1).flatten()


def discriminator_adversarial(real_N1: Tensor, fake_N1: Tensor) -> Tensor:
    """Compute D's logistic loss, softplus(-D(real)) + softplus(D(fake)), of logits. Shape (N,)."""
    return (F.softplus(-real_N1) + F.softplus(fake_N1)).flatten()


# Regularisers of StyleGAN2 (Karras et al., 2020): R1, and path length.


def r1_penalty(discriminator: nn.Module, real_NCHW: Tensor) -> Tensor:
    """Compute R1, ||grad_x D(x)||^2 at real images (Mescheder et al., 2018). Shape (N,).

    Differentiable by the weights of D.

    Args:
        discriminator: D, from images to logits (N, 1).
        real_NCHW: real images in [-1, 1].
    """
    real_NCHW = real_NCHW.detach().requires_grad_(True)
    logits = discriminator(real_NCHW)
    with no_weight_gradients():
        (gradient,) = torch.autograd.grad(logits.sum(), real_NCHW, create_graph=True)
    return gradient.square().sum((1, 2, 3))


def path_lengths(image_NCHW: Tensor, w_NLD: Tensor, noise_NCHW: Tensor) -> Tensor:
    """Compute path lengths ||J_w^T y||, the root mean square over rows (StyleGAN2, section 3.2).

    Args:
        image_NCHW: images rendered from `w_NLD` with gradients.
        w_NLD: the W+ codes.
        noise_NCHW: standard normal image y; it is scaled by 1 / sqrt(H W).

    Returns:
        Shape (N,), differentiable by the weights of the generator.
    """
    scaled = noise_NCHW / math.sqrt(image_NCHW.shape[2] * image_NCHW.shape[3])
    with no_weight_gradients():
        (gradient,) = torch.autograd.grad((image_NCHW * scaled).sum(), w_NLD, create_graph=True)
    return gradient.square().sum(2).mean(1).sqrt()


# Perceptual loss L_perc and feature matching L_FM (section 3.3).


def perceptual(
    first: Sequence[Tensor], second: Sequence[Tensor], weights: Sequence[float]
) -> Tensor:
    """Compute L_perc = sum_l weight_l mean |a_l - b_l| (Johnson et al., 2016). Shape (N,).

    Args:
        first, second: feature maps (N, C, H, W) of each layer l.
        weights: weight of each layer; layers of weight 0 are skipped.
    """
    terms = [
        weight * (upcast(a) - upcast(b)).abs().mean((1, 2, 3))
        for a, b, weight in zip(first, second, weights, strict=True)
        if weight
    ]
    return torch.stack(terms).sum(0)


def feature_matching(
    first: Sequence[Tensor], second: Sequence[Tensor], mask_N1HW: Mask = None
) -> Tensor:
    """Compute L_FM = sum_l mean_C (mean_HW a_l - mean_HW b_l)^2 (section 3.3). Shape (N,).

    Args:
        first, second: feature maps (N, C, H, W) of each layer l.
        mask_N1HW: of the positions that count, in any size; None: all.
    """

    def means(map_NCHW: Tensor) -> Tensor:
        return masked_mean(upcast(map_NCHW), mask_of(mask_N1HW, map_NCHW), (2, 3))

    terms = [(means(a) - means(b)).square().mean(1) for a, b in zip(first, second, strict=True)]
    return torch.stack(terms).sum(0)


# Content losses towards a face in other colours: L_content and L_tone, beyond the paper.


def content(first_NCHW: Tensor, second_NCHW: Tensor) -> Tensor:
    """Compute L_content, the mean squared difference of instance-normalised features. Shape (N,).

    The normalisation per channel takes away what paint changes everywhere; what is left is where
    the features of eyes, hair or a beard are.

    Args:
        first_NCHW, second_NCHW: feature maps.
    """
    first, second = (F.instance_norm(upcast(x)) for x in (first_NCHW, second_NCHW))
    return (first - second).square().mean((1, 2, 3))


def tone(first_NCHW: Tensor, second_NCHW: Tensor) -> Tensor:
    """Compute L_tone, the mean squared difference of standardised luminance. Shape (N,).

    Areas of `TONE_PX` pixels are compared: hair and skin are fair or dark in any colours.

    Args:
        first_NCHW, second_NCHW: images in [-1, 1].
    """
    first, second = (
        F.instance_norm(F.avg_pool2d(luma(x), TONE_PX)) for x in (first_NCHW, second_NCHW)
    )
    return (first - second).square().mean((1, 2, 3))


def distinction(first_NE: Tensor, second_NE: Tensor) -> Tensor:
    """Compute L_distinction, the error of the differences between people. Shape ().

        mean over pairs n, m of |(a_n - a_m) - (b_n - b_m)|^2 = 2 sum_E Var_N(a - b)

    A shift that paint or exaggeration gives to everybody is no error here; what makes one face
    different from the next is all that counts.

    Args:
        first_NE, second_NE: identity embeddings of the same people; 0 with fewer than two.
    """
    if len(first_NE) < 2:
        return first_NE.new_zeros(())
    return 2 * (first_NE - second_NE).var(0).sum()


# Contextual loss L_CX (Mechrez et al., 2018; section 3.3): -log mean_j max_i A_ij.


def _affinity(x_PC: Tensor, y_QC: Tensor, bandwidth: float, inside_Q: Mask = None) -> Tensor:
    """Compute the affinities A (P, Q) of each x to all y; each row sums to one.

    A_ij = w_ij / sum_j w_ij with w_ij = exp((1 - d_ij / (min_j d_ij + eps)) / h) and d = 1 - s.
    Since w_ij = exp(k_i s_ij) times a factor of row i, with k_i = 1 / (h (1 - max_j s_ij + eps)),
    A is a softmax of k_i s_ij: the factor cancels.

    Each y that a mask leaves out has an affinity of zero, and no part in the others.
    """
    similarity = x_PC @ y_QC.T
    if inside_Q is not None:
        similarity = similarity.masked_fill(~inside_Q, NO_SIMILARITY)
    sharpness = 1 / (bandwidth * (1 - similarity.amax(1, keepdim=True) + EPS))
    scaled = sharpness * similarity
    if inside_Q is not None:
        scaled = scaled.masked_fill(~inside_Q, NO_AFFINITY)
    return torch.softmax(scaled, 1)


class _BestAffinity(torch.autograd.Function):
    """Largest affinity to each y over all x, (Q,), in memory of `block` rows.

    Affinities are computed `block` rows at a time and not stored. Only rows that hold the maximum
    of some y have a gradient, about two in five on real features: the backward pass computes these
    again. Rows and columns that a mask leaves out hold no maximum.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x_PC: Tensor,
        y_QC: Tensor,
        bandwidth: float,
        block: int,
        inside_P: Mask,
        inside_Q: Mask,
    ) -> Tensor:
        best_Q = x_PC.new_full((len(y_QC),), -1.0)
        row_Q = torch.zeros(len(y_QC), dtype=torch.long, device=x_PC.device)
        for start in range(0, len(x_PC), block):
            part = slice(start, start + block)
            affinity = _affinity(x_PC[part], y_QC, bandwidth, inside_Q)
            if inside_P is not None:
                affinity = affinity.masked_fill(~inside_P[part, None], -1.0)
            block_best_Q, block_row_Q = affinity.max(0)
            row_Q = torch.where(block_best_Q > best_Q, block_row_Q + start, row_Q)
            best_Q = torch.maximum(block_best_Q, best_Q)
        ctx.save_for_backward(x_PC, y_QC, row_Q)
        ctx.bandwidth, ctx.block, ctx.inside_Q = bandwidth, block, inside_Q
        return best_Q

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor, Tensor | None, None, None, None, None]:
        x_PC, y_QC, row_Q = ctx.saved_tensors
        # All rows on a GPU: a number of rows that depends on data would synchronise the device.
        rows = torch.arange(len(x_PC), device=x_PC.device) if x_PC.is_cuda else row_Q.unique()
        x_gradient_PC = torch.zeros_like(x_PC)
        y_gradient_QC = torch.zeros_like(y_QC) if ctx.needs_input_grad[1] else None
        y = y_QC.detach().requires_grad_(y_gradient_QC is not None)
        for part in rows.split(ctx.block):
            with torch.enable_grad():
                x = x_PC[part].detach().requires_grad_(True)
                affinity = _affinity(x, y, ctx.bandwidth, ctx.inside_Q)
            affinity_gradient = torch.where(part[:, None] == row_Q, gradients[0], 0)
            inputs = [x] if y_gradient_QC is None else [x, y]
            x_gradient_PC[part], *rest = torch.autograd.grad(affinity, inputs, affinity_gradient)
            if y_gradient_QC is not None:
                y_gradient_QC += rest[0]
        return x_gradient_PC, y_gradient_QC, None, None, None, None


def contextual(
    x_NCHW: Tensor,
    y_NCHW: Tensor,
    bandwidth: float = CONTEXTUAL_BANDWIDTH,
    block: int = 512,
    center_1C11: Tensor | None = None,
    mask_N1HW: Mask = None,
) -> Tensor:
    """Compute L_CX, the contextual loss with cosine distances (Mechrez et al., 2018). Shape (N,).

    Memory grows with block * Q, not with the P * Q affinities, see `_BestAffinity`.

    Args:
        x_NCHW: features of the result.
        y_NCHW: features of the target.
        bandwidth: h of the paper.
        block: number of positions of x handled at once.
        center_1C11: mean that is subtracted from both; by default each target's own mean, so that
            images do not depend on the batch (the published code takes the batch mean).
        mask_N1HW: of the positions of both that count, in any size; None: all.
    """
    x_mask, y_mask = mask_of(mask_N1HW, x_NCHW), mask_of(mask_N1HW, y_NCHW)
    if center_1C11 is None:
        center_1C11 = masked_mean(upcast(y_NCHW), y_mask, (2, 3))[..., None, None]
    x_NPC, y_NPC = (
        F.normalize(upcast(f) - center_1C11, dim=1).flatten(2).transpose(1, 2)
        for f in (x_NCHW, y_NCHW)
    )
    inside_NP, inside_NQ = (None if m is None else m.flatten(1) for m in (x_mask, y_mask))
    best = []
    for i, (x_PC, y_PC) in enumerate(zip(x_NPC, y_NPC, strict=True)):
        inside = (None if m is None else m[i] for m in (inside_NP, inside_NQ))
        best.append(_BestAffinity.apply(x_PC, y_PC, bandwidth, block, *inside))  # type: ignore[no-untyped-call]
    return -torch.log(masked_mean(torch.stack(best), inside_NQ, (1,)) + EPS)


# Regularisers of weights, codes and noise maps.


def weight_norms(parameters: Iterable[Tensor]) -> Tensor:
    """Compute L_reg = sum ||W||_2 over weights, those of ModRes in the paper (section 3.3)."""
    return torch.stack([p.norm() for p in parameters]).sum()


def row_spread(codes_NLD: Tensor) -> Tensor:
    """Compute ||sigma(z+)|| of Eq. 1: standard deviation over rows, mean over D. Shape (N,)."""
    return codes_NLD.std(1).mean(1)


def noise_autocorrelation(noise_N1HW: Tensor) -> Tensor:
    """Compute the noise autocorrelation loss of StyleGAN2's projector (appendix D). Shape (N,).

    Sum of squared correlations of the map with itself shifted by one pixel, over scales down to
    8 px.
    """
    total = noise_N1HW.new_zeros(len(noise_N1HW))
    x = noise_N1HW
    while True:
        for dim in (2, 3):
            total = total + (x * x.roll(1, dim)).mean((1, 2, 3)).square()
        if x.shape[-1] <= 8:
            return total
        x = F.avg_pool2d(x, 2)
