"""Augmentation of the encoder's training images: photographs, and a share of drawings.

Legend of shape suffixes: N image, C channel, H height, W width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dualstylegan.pretraining.photograph.camera import Framing, Noise
from dualstylegan.pretraining.photograph.chain import Photograph, per_image
from dualstylegan.pretraining.photograph.fields import happens, resize, size_of, uniform

# Share of drawings, and ranges of their colours, which are stronger and flatter: relative contrast,
# brightness and tint offsets on [-1, 1], levels per channel.
DRAWING_PROBABILITY = 0.15
CONTRAST = (0.7, 1.3)
BRIGHTNESS = (-0.25, 0.25)
TINT = (-0.12, 0.12)
LEVELS = (2.0, 5.0)
# Before it is posterised, a drawing is reduced to this share of its side and enlarged again, which
# removes noise and fine texture.
DETAIL = 0.35


def draw_like(x_CHW: Tensor, rng: torch.Generator) -> Tensor:
    """Posterise an image in [-1, 1] like a drawing, after a change of contrast and colour."""
    x = Framing.draw(rng)(x_CHW)
    tint = x.new_tensor([uniform(TINT, rng) for _ in range(3)])[:, None, None]
    x = x * uniform(CONTRAST, rng) + uniform(BRIGHTNESS, rng) + tint
    height, width = size_of(x)
    flat = resize(resize(x, (round(DETAIL * height), round(DETAIL * width))), (height, width))
    levels = uniform(LEVELS, rng)
    poster = ((flat * levels).round() / levels).clamp(-1, 1)
    return Noise.draw(rng)(poster.add(1).div(2)).mul(2).sub(1)


def augment(x_CHW: Tensor, rng: torch.Generator) -> Tensor:
    """Make a photograph, or a drawing, of a face in [-1, 1]."""
    if happens(DRAWING_PROBABILITY, rng):
        return draw_like(x_CHW, rng)
    return Photograph.draw(rng)(x_CHW)


@torch.no_grad()
def augment_photo(x_NCHW: Tensor, rng: torch.Generator) -> Tensor:
    """Make photographs (a share: drawings) of generated faces (N, 3, H, W) in [-1, 1].

    Args:
        x_NCHW: FFHQ crops, at least 64 pixels to a side.
        rng: random generator on the CPU; image i depends on the i-th number drawn from it, not on
            the rest of the batch.
    """
    return per_image(x_NCHW, rng, augment)
