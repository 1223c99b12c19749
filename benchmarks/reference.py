"""The published formulation of StyleGAN2's layers on our weights: what our speed is measured by.

Legend of shape suffixes: N image, C channel (I in, O out), H height, W width, K kernel, D style.

A modulated convolution makes a weight for each image and convolves in groups; filters run channel
by channel over padded or zero-filled maps. The results are the same, which tests hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional as F

from dualstylegan.networks.layers import Blur, FirUpsample, ModulatedConv2d


def filtered(x_NCHW: Tensor, kernel_KK: Tensor, padding: tuple[int, int]) -> Tensor:
    """Each channel of each image as an image of its own, padded, then filtered."""
    n, c, height, width = x_NCHW.shape
    before, after = padding
    alone = F.pad(x_NCHW.reshape(n * c, 1, height, width), (before, after, before, after))
    found = F.conv2d(alone, kernel_KK.flip(0, 1)[None, None].to(x_NCHW.dtype))
    return found.reshape(n, c, *found.shape[-2:])


def modulated(self: ModulatedConv2d, x_NIHW: Tensor, w_ND: Tensor) -> Tensor:
    """Equations 1 to 3 of StyleGAN2 as written: scale the weight, normalise it, convolve."""
    n, i, height, width = x_NIHW.shape
    style_NI = self.modulation(w_ND)
    weight_NOIKK = self.scale * self.weight * style_NI[:, None, :, None, None]
    if self.demodulate:
        energy_NO = weight_NOIKK.square().sum((2, 3, 4))
        weight_NOIKK = weight_NOIKK * torch.rsqrt(energy_NO + 1e-8)[:, :, None, None, None]
    weight_NOIKK = weight_NOIKK.to(x_NIHW.dtype)
    o, kernel = weight_NOIKK.shape[1], weight_NOIKK.shape[-1]
    grouped = x_NIHW.reshape(1, n * i, height, width)
    if self.blur is None:
        weight = weight_NOIKK.reshape(n * o, i, kernel, kernel)
        found = F.conv2d(grouped, weight, padding=self.padding, groups=n)
        return found.reshape(n, o, height, width)
    weight = weight_NOIKK.transpose(1, 2).reshape(n * i, o, kernel, kernel)
    found = F.conv_transpose2d(grouped, weight, stride=2, groups=n)
    result: Tensor = self.blur(found.reshape(n, o, *found.shape[-2:]))
    return result


def blurred(self: Blur, x_NCHW: Tensor) -> Tensor:
    """The low-pass filter, channel by channel."""
    return filtered(x_NCHW, self.kernel, self.padding)


def upsampled(self: FirUpsample, x_NCHW: Tensor) -> Tensor:
    """Zeros between the pixels, then the filter."""
    n, c, height, width = x_NCHW.shape
    spread = x_NCHW.new_zeros(n, c, height, 2, width, 2)
    spread[:, :, :, 0, :, 0] = x_NCHW
    return filtered(spread.reshape(n, c, 2 * height, 2 * width), self.kernel, (2, 1))


@contextmanager
def published_formulation() -> Iterator[None]:
    """For a while every StyleGAN2 layer computes as published."""
    ours = {
        ModulatedConv2d: (ModulatedConv2d.forward, modulated),
        Blur: (Blur.forward, blurred),
        FirUpsample: (FirUpsample.forward, upsampled),
    }
    for kind, (_, theirs) in ours.items():
        kind.forward = theirs  # type: ignore[assignment]
    try:
        yield
    finally:
        for kind, (own, _) in ours.items():
            kind.forward = own  # type: ignore[method-assign]
