"""Random parameters, smooth fields and blurs that the degradations share.

Legend of shape suffixes: C channel, H height, W width. Images are in [0, 1]; coordinates u (to the
right) and v (down) run from 0 to 1 across the image, so that parameters hold at any size.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

Range = tuple[float, float]
Size = tuple[int, int]

# Soft fields are computed at this size and enlarged: cheap at any size of the image.
FIELD: Size = (64, 64)
# A kernel reaches so many standard deviations to each side.
REACH = 2.5


def uniform(bounds: Range, rng: torch.Generator) -> float:
    """Draw a number between two bounds."""
    low, high = bounds
    return low + (high - low) * float(torch.rand((), generator=rng, dtype=torch.float64))


def log_uniform(bounds: Range, rng: torch.Generator) -> float:
    """Draw a number between two positive bounds, each octave with the same probability."""
    return math.exp(uniform((math.log(bounds[0]), math.log(bounds[1])), rng))


def happens(probability: float, rng: torch.Generator) -> bool:
    """Draw True with a given probability."""
    return uniform((0.0, 1.0), rng) < probability


def draw_seed(rng: torch.Generator) -> int:
    """Draw the seed of a field of random numbers."""
    return int(torch.randint(2**31, (), generator=rng))


def draw_colour(brightness: Range, saturation: float, rng: torch.Generator) -> tuple[float, ...]:
    """Draw an RGB colour of bounded brightness, its channels within a distance of it."""
    base = uniform(brightness, rng)
    return tuple(base * (1 + uniform((-saturation, saturation), rng)) for _ in range(3))


def coordinates(size: Size, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return u (1, W) and v (H, 1) at pixel centres."""
    height, width = size
    u = (torch.arange(width, device=device) + 0.5) / width
    v = (torch.arange(height, device=device) + 0.5) / height
    return u[None], v[:, None]


def ramp(x: Tensor, low: float, high: float) -> Tensor:
    """Rise smoothly from 0 at `low` to 1 at `high`; fall if `high` is the smaller."""
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def size_of(x_CHW: Tensor) -> Size:
    """Return height and width."""
    return x_CHW.shape[-2], x_CHW.shape[-1]


def resize(x_CHW: Tensor, size: Size) -> Tensor:
    """Resample bilinearly, with antialiasing."""
    return F.interpolate(x_CHW[None], size, mode="bilinear", antialias=True)[0]


def enlarge(field_CHW: Tensor, size: Size) -> Tensor:
    """Interpolate a soft field to an image's size."""
    return F.interpolate(field_CHW[None], size, mode="bilinear")[0]


def convolve(x_CHW: Tensor, kernel_HW: Tensor) -> Tensor:
    """Convolve each channel with one kernel, edges replicated."""
    tall, wide = kernel_HW.shape[0] // 2, kernel_HW.shape[1] // 2
    padded = F.pad(x_CHW[:, None], (wide, wide, tall, tall), mode="replicate")
    return F.conv2d(padded, kernel_HW[None, None])[:, 0]


def gaussian_blur(x_CHW: Tensor, sigma_px: float) -> Tensor:
    """Blur with a Gaussian of a standard deviation in pixels."""
    reach = max(1, math.ceil(REACH * sigma_px))
    offsets = torch.arange(-reach, reach + 1, device=x_CHW.device)
    kernel = torch.exp(-0.5 * (offsets / sigma_px).square())
    kernel = kernel / kernel.sum()
    return convolve(convolve(x_CHW, kernel[None]), kernel[:, None])
