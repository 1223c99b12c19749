"""Exemplar refinement: extrinsic codes tuned after training, so that G renders each exemplar.

Legend of shape suffixes: N image, L row, D style width, C channel, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
from dualstylegan.networks.vgg import PerceptualNetwork

CONTEXTUAL_STAGE = 2  # VGG's third stage


def reconstruction_objective(
    network: DualStyleGAN, lpips: PerceptualNetwork, image_NCHW: Tensor, intrinsic_NLD: Tensor
) -> Objective:
    """LPIPS + L_CX between G(z_i+, z_e+, 1) and the exemplar, of the parts of z_e+: the objective.

    The exemplar's features are computed once.
    """
    with torch.no_grad():
        target = lpips.features(image_NCHW)

    def objective(latents: Sequence[Tensor]) -> Tensor:
        extrinsic = network.generator.map(torch.cat(list(latents), 1))
        image = network(intrinsic_NLD, extrinsic, size=image_NCHW.shape[-1])
        rendered = lpips.features(image)
        similar = contextual(rendered[CONTEXTUAL_STAGE], target[CONTEXTUAL_STAGE])
        return lpips.distance(rendered, target) + similar

    return objective


def refine(
    network: DualStyleGAN,
    lpips: PerceptualNetwork,
    image_NCHW: Tensor,
    intrinsic_NLD: Tensor,
    extrinsic_NLD: Tensor,
    plan: OptimizationSchedule,
    *,
    structure_rate: float,
    color_rate: float,
    progress: Callable[[int], None] | None = None,
) -> OptimizationResult:
    """Minimise LPIPS + L_CX between G(z_i+, z_e+, 1) and the exemplar over z_e+.

    Structure and colour rows have learning rates of their own; rendered as transfer renders.

    Args:
        network: DualStyleGAN, frozen.
        image_NCHW: exemplars in [-1, 1] at the working size.
        intrinsic_NLD, extrinsic_NLD: z_i+ and z_e+ in Z+.
        plan: schedule; the rates are peaks for Adam.
    """
    rows = network.generator.structure_rows
    objective = reconstruction_objective(network, lpips, image_NCHW, intrinsic_NLD)
    parts = [extrinsic_NLD[:, :rows], extrinsic_NLD[:, rows:]]
    found = optimize_latents(parts, [structure_rate, color_rate], objective, plan, progress)
    code = torch.cat(found.latents, 1)
    return OptimizationResult([code], found.loss_N, found.initial_loss_N, found.steps_N)
