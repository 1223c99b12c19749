"""Photometric and geometric augmentations from generated faces towards photos and paintings.

Legend of shape suffixes: N image, C channel, H height, W width.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Ranges: shift as a share of half the image, rotation in radians, relative scale and contrast,
# brightness and tint offsets on [-1, 1]; probabilities; largest standard deviation of the noise.
SHIFT = 0.04
TURN_RADIANS = 0.06
SCALE = 0.05
CONTRAST = 0.3
BRIGHTNESS = 0.25
TINT = 0.12
GRAY_SHARE = 0.1
BLUR_SHARE = 0.3
NOISE_STD = 0.06
POSTER_SHARE = 0.15


def _uniform(n: int, low: float, high: float, rng: torch.Generator, *tail: int) -> Tensor:
    return low + (high - low) * torch.rand(n, *tail, generator=rng)


def _move(x_NCHW: Tensor, rng: torch.Generator) -> Tensor:
    """Rotate, scale and shift slightly, as two alignments of one face differ."""
    n = len(x_NCHW)
    turn = _uniform(n, -TURN_RADIANS, TURN_RADIANS, rng)
    zoom = _uniform(n, 1 - SCALE, 1 + SCALE, rng)
    shift = _uniform(n, -SHIFT, SHIFT, rng, 2)
    cos, sin = zoom * turn.cos(), zoom * turn.sin()
    affine = torch.stack((cos, -sin, shift[:, 0], sin, cos, shift[:, 1]), 1).view(n, 2, 3)
    grid = F.affine_grid(affine, list(x_NCHW.shape), align_corners=False)
    return F.grid_sample(x_NCHW, grid, padding_mode="reflection", align_corners=False)


def _relight(x: Tensor, rng: torch.Generator) -> Tensor:
    """Change contrast, brightness and tint; turn a share of the images grey."""
    n = len(x)
    gain = _uniform(n, 1 - CONTRAST, 1 + CONTRAST, rng, 1, 1, 1)
    offset = _uniform(n, -BRIGHTNESS, BRIGHTNESS, rng, 1, 1, 1)
    tint = _uniform(n, -TINT, TINT, rng, 3, 1, 1)
    gray = (torch.rand(n, 1, 1, 1, generator=rng) < GRAY_SHARE).float()
    x = torch.lerp(x, x.mean(1, keepdim=True).expand_as(x), gray)
    return x * gain + offset + tint


def _soften(x: Tensor, rng: torch.Generator) -> Tensor:
    """Blur a share of the images, and posterise another like a drawing."""
    n = len(x)
    soft = F.interpolate(
        F.interpolate(x, scale_factor=0.35, mode="area"), x.shape[-2:], mode="bilinear"
    )
    x = torch.where(torch.rand(n, 1, 1, 1, generator=rng) < BLUR_SHARE, soft, x)
    levels = _uniform(n, 2.0, 5.0, rng, 1, 1, 1)
    poster = (soft * levels).round() / levels
    return torch.where(torch.rand(n, 1, 1, 1, generator=rng) < POSTER_SHARE, poster, x)


def augment_photo(x_NCHW: Tensor, rng: torch.Generator) -> Tensor:
    """Apply all augmentations in turn to images in [-1, 1]; random numbers come from the CPU."""
    x = _soften(_relight(_move(x_NCHW, rng), rng), rng)
    noise = _uniform(len(x), 0, NOISE_STD, rng, 1, 1, 1)
    return (x + noise * torch.randn(x.shape, generator=rng)).clamp(-1, 1)
