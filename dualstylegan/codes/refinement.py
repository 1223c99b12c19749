"""Exemplar refinement: extrinsic codes optimised after training until G renders each exemplar.

Legend of shape suffixes: N image, L row, D style width, C channel, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from dualstylegan.codes.inversion import (
    Objective,
    OptimizationResult,
    OptimizationSchedule,
    optimize_latents,
)
from dualstylegan.losses import contextual
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.masks import Mask, mask_of, within
from dualstylegan.networks.vgg import PerceptualNetwork

CONTEXTUAL_STAGE = 2  # index of VGG16's third stage, relu3_3


def reconstruction_objective(
    network: DualStyleGAN,
    lpips: PerceptualNetwork,
    image_NCHW: Tensor,
    intrinsic_NLD: Tensor,
    mask_N1HW: Mask = None,
) -> Objective:
    """Return the objective LPIPS + L_CX between G(z_i+, z_e+, 1) and the exemplar.

    Its latents are the row blocks of z_e+ in Z+, concatenated in order. The exemplar's features
    are computed once.

    Args:
        network: DualStyleGAN, frozen.
        lpips: frozen network.
        image_NCHW: exemplars in [-1, 1], of a size that the generator renders.
        intrinsic_NLD: z_i+ in Z+.
        mask_N1HW: of what lies inside of the exemplars' pictures; nothing else counts.
    """
    mask = mask_of(mask_N1HW, image_NCHW)
    with torch.no_grad():
        target = lpips.features(image_NCHW)

    def objective(latents: Sequence[Tensor]) -> Tensor:
        extrinsic = network.generator.map(torch.cat(list(latents), 1))
        image = network(intrinsic_NLD, extrinsic, size=image_NCHW.shape[-1])
        rendered = lpips.features(within(mask, image, image_NCHW))
        style_loss = contextual(
            rendered[CONTEXTUAL_STAGE], target[CONTEXTUAL_STAGE], mask_N1HW=mask
        )
        return lpips.distance(rendered, target) + style_loss

    return objective


def refine(
    network: DualStyleGAN,
    lpips: PerceptualNetwork,
    image_NCHW: Tensor,
    intrinsic_NLD: Tensor,
    extrinsic_NLD: Tensor,
    schedule: OptimizationSchedule,
    *,
    structure_rate: float,
    color_rate: float,
    progress: Callable[[int], None] | None = None,
    mask_N1HW: Mask = None,
) -> OptimizationResult:
    """Refine z_e+: minimise LPIPS + L_CX between G(z_i+, z_e+, 1) and the exemplar over it.

    Args:
        network: DualStyleGAN, frozen.
        lpips: frozen network.
        image_NCHW: exemplars in [-1, 1] at the working size.
        intrinsic_NLD, extrinsic_NLD: z_i+ and initial z_e+ in Z+.
        schedule: see `optimize_latents`.
        structure_rate, color_rate: peak learning rates of the structure and the colour rows.
        progress: called with the number of steps done.
        mask_N1HW: of what lies inside of the exemplars' pictures; nothing else counts.

    Returns:
        The result with one latent tensor: z_e+ (N, L, D).
    """
    rows = network.generator.structure_rows
    objective = reconstruction_objective(network, lpips, image_NCHW, intrinsic_NLD, mask_N1HW)
    parts = [extrinsic_NLD[:, :rows], extrinsic_NLD[:, rows:]]
    result = optimize_latents(parts, [structure_rate, color_rate], objective, schedule, progress)
    return replace(result, latents=[torch.cat(result.latents, 1)])
