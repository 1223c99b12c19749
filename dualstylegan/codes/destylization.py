"""Facial destylization (section 3.1): three steps from an artistic portrait to a natural face.

Legend of shape suffixes: N image, L row, D style width, C channel, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dualstylegan.codes.inversion import (
    OptimizationResult,
    OptimizationSchedule,
    encode,
    optimize_latents,
    resize_images,
)
from dualstylegan.losses import noise_autocorrelation, row_spread
from dualstylegan.networks.generator import Generator
from dualstylegan.networks.identity import FaceRecognition
from dualstylegan.networks.masks import Mask, mask_of, within
from dualstylegan.networks.stylegan2 import StyleGAN2
from dualstylegan.networks.vgg import PerceptualNetwork

IDENTITY_WEIGHT = 0.1
SPREAD_WEIGHT = 1.0
NOISE_WEIGHT = 1e5
TRUNCATION = 0.7


@dataclass(frozen=True)
class Destylization:
    """Result of destylization for N portraits.

    Attributes:
        fitted: step 2: the codes from which g' renders the portraits, with their losses.
        natural_NCHW: g of these codes with the exemplars' colour rows, truncated; in [-1, 1].
        intrinsic_NLD: step 3: z_i+.
    """

    fitted: OptimizationResult
    natural_NCHW: Tensor
    intrinsic_NLD: Tensor


def fit_adapted(
    adapted: Generator,
    lpips: PerceptualNetwork,
    identity: FaceRecognition,
    image_NCHW: Tensor,
    start_NLD: Tensor,
    schedule: OptimizationSchedule,
    rate: float,
    progress: Callable[[int], None] | None = None,
    mask_N1HW: Mask = None,
) -> OptimizationResult:
    """Fit codes to the portraits by latent optimisation on g' (step 2, Eq. 1).

    argmin LPIPS(g'(z+), S) + lambda_ID L_ID(g'(z+), S) + ||sigma(z+)||, with sigma the standard
    deviation over the code's rows. StyleGAN2's noise maps are optimised too and kept white.

    Args:
        adapted: g', fine-tuned on the style's portraits.
        lpips, identity: frozen networks.
        image_NCHW: portraits S in [-1, 1], of a size that g' renders.
        start_NLD: initial codes in Z+: z_e+ = E(S).
        schedule, rate: schedule and peak learning rate.
        progress: called with the number of steps done.
        mask_N1HW: of what lies inside of the portraits' pictures; nothing else counts.

    Returns:
        The result; its first latent tensor is the codes (N, L, D), the others the noise maps.
    """
    size, mask = image_NCHW.shape[-1], mask_of(mask_N1HW, image_NCHW)
    with torch.no_grad():
        features, embedding = lpips.features(image_NCHW), identity(image_NCHW)
    noises: list[Tensor] = []
    if isinstance(adapted, StyleGAN2):
        noises = [n.expand(len(start_NLD), -1, -1, -1).clone() for n in adapted.fixed_noise()]

    def objective(latents: Sequence[Tensor]) -> Tensor:
        code, *maps = latents
        whitened = [(m - m.mean((2, 3), True)) / m.std((2, 3), keepdim=True) for m in maps]
        rendered = adapted(code, "z_plus", size=size, noise=whitened or None)
        rendered = within(mask, rendered, image_NCHW)
        loss = lpips.distance(lpips.features(rendered), features)
        loss = loss + IDENTITY_WEIGHT * identity.distance(identity(rendered), embedding)
        loss = loss + SPREAD_WEIGHT * row_spread(code)
        for noise in whitened:
            loss = loss + NOISE_WEIGHT * noise_autocorrelation(noise)
        return loss

    latents = [start_NLD, *noises]
    return optimize_latents(latents, [rate] * len(latents), objective, schedule, progress)


@torch.no_grad()
def naturalise(
    generator: Generator,
    encoder: nn.Module,
    fitted_NLD: Tensor,
    extrinsic_NLD: Tensor,
    size: int,
) -> tuple[Tensor, Tensor]:
    """Render the fitted codes with g, which renders natural faces only, and encode them (step 3).

    The natural face takes the exemplar's colour rows, truncated; its code takes none: all rows are
    those that E finds in it, so that g(z_i+) is no painting.

    Args:
        generator: g, on natural faces.
        encoder: E into Z+.
        fitted_NLD, extrinsic_NLD: codes of step 2 and z_e+, in Z+.
        size: side of the natural faces in pixels, one that g renders.

    Returns:
        The natural face (N, 3, size, size) and z_i+ (N, L, D).
    """
    rows = generator.structure_rows
    code = torch.cat((fitted_NLD[:, :rows], extrinsic_NLD[:, rows:]), 1)
    natural = generator(code, "z_plus", truncation=TRUNCATION, size=size).clamp(-1, 1)
    return natural, encode(encoder, natural)


def destylize(
    generator: Generator,
    adapted: Generator,
    encoder: nn.Module,
    lpips: PerceptualNetwork,
    identity: FaceRecognition,
    image_NCHW: Tensor,
    extrinsic_NLD: Tensor,
    schedule: OptimizationSchedule,
    *,
    size: int,
    rate: float,
    progress: Callable[[int], None] | None = None,
    mask_N1HW: Mask = None,
) -> Destylization:
    """Destylize portraits whose codes z_e+ = E(S) are known (step 1): steps 2 and 3.

    Args:
        generator: g, on natural faces.
        adapted: g', fine-tuned on the style's portraits.
        encoder: E into Z+.
        lpips, identity: frozen networks.
        image_NCHW: portraits S in [-1, 1].
        extrinsic_NLD: their codes z_e+ in Z+.
        schedule, rate: schedule and peak learning rate of step 2.
        size: working size in pixels, one that g and g' render.
        progress: called with the number of steps done.
        mask_N1HW: of what lies inside of the portraits' pictures; nothing else counts in step 2.
    """
    fitted = fit_adapted(
        adapted,
        lpips,
        identity,
        resize_images(image_NCHW, size),
        extrinsic_NLD,
        schedule,
        rate,
        progress,
        mask_N1HW,
    )
    natural, intrinsic = naturalise(generator, encoder, fitted.latents[0], extrinsic_NLD, size)
    return Destylization(fitted, natural, intrinsic)
