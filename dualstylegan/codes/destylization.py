"""Facial destylization (section 3.1): from an artistic portrait to a natural face in three steps.

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
from dualstylegan.networks.stylegan2 import StyleGAN2
from dualstylegan.networks.vgg import PerceptualNetwork

IDENTITY_WEIGHT = 0.1
SPREAD_WEIGHT = 1.0
NOISE_WEIGHT = 1e5
TRUNCATION = 0.7


@dataclass(frozen=True)
class Destylization:
    """What the three steps gave for N portraits.

    Attributes:
        fitted: step 2, the code that makes g' render the portrait, with its losses.
        natural_NCHW: g of that code with the exemplar's colour rows, truncated.
        intrinsic_NLD: step 3, z_i+.
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
    plan: OptimizationSchedule,
    rate: float,
    progress: Callable[[int], None] | None = None,
) -> OptimizationResult:
    """Step 2, latent optimisation on g' (Eq. 1): from z_e+ to the code that renders the portrait.

    argmin LPIPS(g'(z+), S) + lambda_ID L_ID(g'(z+), S) + ||sigma(z+)||, sigma being the spread of
    the code's rows. Where the generator has noise maps they are optimised too and kept white.
    """
    size = image_NCHW.shape[-1]
    with torch.no_grad():
        features, person = lpips.features(image_NCHW), identity(image_NCHW)
    noises: list[Tensor] = []
    if isinstance(adapted, StyleGAN2):
        noises = [n.expand(len(start_NLD), -1, -1, -1).clone() for n in adapted.fixed_noise()]

    def objective(latents: Sequence[Tensor]) -> Tensor:
        code, *maps = latents
        whitened = [(m - m.mean((2, 3), True)) / m.std((2, 3), keepdim=True) for m in maps]
        rendered = adapted(code, "z_plus", size=size, noise=whitened or None)
        loss = lpips.distance(lpips.features(rendered), features)
        loss = loss + IDENTITY_WEIGHT * identity.distance(identity(rendered), person)
        loss = loss + SPREAD_WEIGHT * row_spread(code)
        for noise in whitened:
            loss = loss + NOISE_WEIGHT * noise_autocorrelation(noise)
        return loss

    latents = [start_NLD, *noises]
    return optimize_latents(latents, [rate] * len(latents), objective, plan, progress)


@torch.no_grad()
def naturalise(
    generator: Generator,
    encoder: nn.Module,
    fitted_NLD: Tensor,
    extrinsic_NLD: Tensor,
    size: int,
) -> tuple[Tensor, Tensor]:
    """Step 3: render the fitted code with g, which knows natural faces only, and encode it again.

    Colour rows are the exemplar's throughout, so that the pair differs in structure alone.

    Returns:
        The natural face (N, 3, size, size) and z_i+ (N, L, D).
    """
    rows = generator.structure_rows
    code = torch.cat((fitted_NLD[:, :rows], extrinsic_NLD[:, rows:]), 1)
    natural = generator(code, "z_plus", truncation=TRUNCATION, size=size).clamp(-1, 1)
    encoded = encode(encoder, natural)
    return natural, torch.cat((encoded[:, :rows], extrinsic_NLD[:, rows:]), 1)


def destylize(
    generator: Generator,
    adapted: Generator,
    encoder: nn.Module,
    lpips: PerceptualNetwork,
    identity: FaceRecognition,
    image_NCHW: Tensor,
    extrinsic_NLD: Tensor,
    plan: OptimizationSchedule,
    *,
    size: int,
    rate: float,
    progress: Callable[[int], None] | None = None,
) -> Destylization:
    """Steps 2 and 3 for portraits whose codes z_e+ = E(S) are known (step 1).

    Args:
        generator: g; adapted: g', fine-tuned on the style's portraits.
        image_NCHW: the portraits S in [-1, 1]; extrinsic_NLD: their codes z_e+ in Z+.
        plan, rate: schedule and peak learning rate of step 2.
        size: working size in pixels.
    """
    fitted = fit_adapted(
        adapted,
        lpips,
        identity,
        resize_images(image_NCHW, size),
        extrinsic_NLD,
        plan,
        rate,
        progress,
    )
    natural, intrinsic = naturalise(generator, encoder, fitted.latents[0], extrinsic_NLD, size)
    return Destylization(fitted, natural, intrinsic)
