"""Painterly filters: flat strokes along the edges of an image, and ink lines.

Legend of shape suffixes: C channel, H height, W width; 1HW one channel; 2HW vectors x, y.

Images are in [0, 1]. All filters are plain torch operations, reproducible to the byte on the CPU.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from dualstylegan.io.images import luma

SECTORS = 8
# Standard deviation of luminance at which the weight of a Kuwahara sector is one half, and the
# exponent of its decline.
KUWAHARA_HALF = 4 / 255
KUWAHARA_POWER = 8.0
STEP_PX = 1.5


def pixel_grid(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return the x and y coordinates of each pixel, (H, W) each."""
    y, x = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    return x, y


def box_blur(x_CHW: Tensor, radius: int) -> Tensor:
    """Compute the mean over squares of side 2 radius + 1, with reflected borders."""
    padded = F.pad(x_CHW[None], (radius,) * 4, mode="reflect")
    across = F.avg_pool2d(padded, (1, 2 * radius + 1), 1)
    return F.avg_pool2d(across, (2 * radius + 1, 1), 1)[0]


def gaussian_blur(x_CHW: Tensor, sigma: float) -> Tensor:
    """Apply a separable Gaussian blur with reflected borders."""
    radius = max(1, round(3 * sigma))
    taps = torch.exp(-((torch.arange(-radius, radius + 1).float() / sigma) ** 2) / 2)
    taps = (taps / taps.sum()).to(x_CHW)
    x = F.pad(x_CHW[:, None], (radius,) * 4, mode="reflect")
    x = F.conv2d(x, taps.view(1, 1, 1, -1))
    return F.conv2d(x, taps.view(1, 1, -1, 1))[:, 0]


def guided(x_CHW: Tensor, guide_1HW: Tensor, radius: int, softness: float) -> Tensor:
    """Apply the guided filter (He et al., 2010, eq. 5 to 8), which keeps the edges of a guide."""
    mean_guide, mean = box_blur(guide_1HW, radius), box_blur(x_CHW, radius)
    covariance = box_blur(guide_1HW * x_CHW, radius) - mean_guide * mean
    variance = box_blur(guide_1HW.square(), radius) - mean_guide.square()
    slope = covariance / (variance + softness)
    offset = mean - slope * mean_guide
    return (box_blur(slope, radius) * guide_1HW + box_blur(offset, radius)).clamp(0, 1)


def smoothed(x_CHW: Tensor, radius: int, rounds: int, softness: float = 0.004) -> Tensor:
    """Smooth an image but for its edges: the guided filter with its own luminance, repeatedly."""
    for _ in range(rounds):
        x_CHW = guided(x_CHW, luma(x_CHW), radius, softness)
    return x_CHW


def kuwahara(x_CHW: Tensor, radius: int) -> Tensor:
    """Apply the generalised Kuwahara filter (Papari et al., 2007): means of homogeneous sectors."""
    dx, dy = pixel_grid(2 * radius + 1, 2 * radius + 1)
    dx, dy = dx - radius, dy - radius
    disc = torch.exp(-(dx.square() + dy.square()) * 2 / radius**2)
    angle = torch.atan2(dy, dx)
    sectors = []
    for i in range(SECTORS):
        off = torch.remainder(angle - 2 * math.pi * i / SECTORS + math.pi, 2 * math.pi) - math.pi
        sector = disc * torch.exp(-((off * SECTORS / math.pi) ** 2))
        sector[radius, radius] = 2 / SECTORS
        sectors.append(sector / sector.sum())
    kernels = torch.stack(sectors)[:, None].to(x_CHW)
    light = luma(x_CHW)
    channels = torch.cat((x_CHW, light, light.square()))[:, None]
    means = F.conv2d(F.pad(channels, (radius,) * 4, mode="reflect"), kernels)
    deviation = (means[4] - means[3].square()).clamp(min=0).sqrt()
    homogeneity = 1 / (1 + (deviation / KUWAHARA_HALF) ** KUWAHARA_POWER)
    homogeneity = homogeneity / (homogeneity.sum(0, keepdim=True) + 1e-20)
    return (means[:3] * homogeneity).sum(1)


def tangents(x_CHW: Tensor, sigma: float) -> Tensor:
    """Compute unit vectors (2, H, W) along edges: the minor axis of the structure tensor."""
    light = F.pad(gaussian_blur(luma(x_CHW), 1.0)[None], (1,) * 4, mode="reflect")
    sobel = light.new_tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
    slopes = F.conv2d(light, torch.stack((sobel, sobel.t()))[:, None])[0]
    gx, gy = slopes[:1], slopes[1:]
    xx, xy, yy = gaussian_blur(torch.cat((gx * gx, gx * gy, gy * gy)), sigma)
    angle = torch.atan2(2 * xy, xx - yy) / 2 + math.pi / 2
    return torch.stack((angle.cos(), angle.sin()))


def along(x_CHW: Tensor, tangents_2HW: Tensor, length: float) -> Tensor:
    """Average along the streamlines of a vector field, `length` pixels in both directions."""
    height, width = x_CHW.shape[1:]
    steps = max(1, round(length / STEP_PX))
    x, y = pixel_grid(height, width)
    half = x.new_tensor((width, height)) / 2
    total, weight = x_CHW.clone(), 1.0
    layers = torch.cat((x_CHW, tangents_2HW))[None]
    for sign in (1.0, -1.0):
        position = torch.stack((x, y), -1)
        heading = sign * tangents_2HW.permute(1, 2, 0)
        for i in range(1, steps + 1):
            position = position + STEP_PX * heading
            grid = (position + 0.5) / half - 1
            seen = F.grid_sample(layers, grid[None], padding_mode="reflection", align_corners=False)
            field = seen[0, -2:].permute(1, 2, 0)
            # Tangents have no sign: continue in the direction that does not turn back.
            back = (field * heading).sum(-1, keepdim=True) < 0
            heading = torch.where(back, -field, field)
            share = math.exp(-2 * (i / steps) ** 2)
            total, weight = total + share * seen[0, :-2], weight + share
    return total / weight


def lines(x_CHW: Tensor, tangents_2HW: Tensor) -> Tensor:
    """Detect lines (1, H, W) by flow-based differences of Gaussians (Kang et al., 2007)."""
    size = x_CHW.shape[-1]
    light = luma(smoothed(x_CHW, 3, 2))
    sigma = size / 400
    difference = gaussian_blur(light, sigma) - 0.98 * gaussian_blur(light, 1.6 * sigma)
    difference = along(difference, tangents_2HW, size * 0.008)
    ink = torch.tanh((0.0045 - difference).clamp(min=0) * 110)
    return along(ink, tangents_2HW, size * 0.006)


def flat_tones(light_1HW: Tensor, tones: int) -> Tensor:
    """Quantise luminance to `tones` levels with soft edges."""
    scaled = light_1HW * tones
    step = scaled.floor()
    rest: Tensor = ((scaled - step - 0.5) * 6).tanh() / (2 * math.tanh(3.0)) + 0.5
    return (step + rest) / tones
