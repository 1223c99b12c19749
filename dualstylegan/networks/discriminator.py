"""Residual discriminator of StyleGAN2 (Karras et al., 2020), in the published key layout.

Legend of shape suffixes: N image, C channel, H height, W width, G group.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dualstylegan.networks.layers import (
    Blur,
    ConvLayer,
    EqualConv2d,
    EqualLinear,
    FusedLeakyReLU,
    upcast,
)
from dualstylegan.networks.stylegan2 import channels_at, check_resolution

STDDEV_GROUP = 4
DEVIATION_EPS = 1e-8


def conv_layer(
    inputs: int, outputs: int, kernel: int, *, down: bool = False, activate: bool = True
) -> nn.Sequential:
    """Build [blur], convolution, [bias and activation]; `down` halves the size."""
    layers: list[nn.Module] = []
    if down:
        pad = 1 + kernel // 2
        layers.append(Blur((pad, pad)))
    padding = 0 if down else kernel // 2
    stride = 2 if down else 1
    layers.append(EqualConv2d(inputs, outputs, kernel, stride=stride, padding=padding, bias=False))
    if not activate:
        return nn.Sequential(*layers)
    return ConvLayer(*layers, FusedLeakyReLU(outputs))


class ResBlock(nn.Module):
    """Residual block that halves the size: two convolutions plus a skip, over sqrt(2)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = conv_layer(inputs, inputs, 3)
        self.conv2 = conv_layer(inputs, outputs, 3, down=True)
        self.skip = conv_layer(inputs, outputs, 1, down=True, activate=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv2(self.conv1(x)) + self.skip(x)
        return y / math.sqrt(2)


def minibatch_stddev(x_NCHW: Tensor, group: int = STDDEV_GROUP) -> Tensor:
    """Append the mean standard deviation over groups of images as one channel.

    Minibatch standard deviation (ProGAN, Karras et al., 2018, section 3). A group holds every
    (N/G)-th image, where G is the largest divisor of N up to `group`.

    Returns:
        Features (N, C + 1, H, W).
    """
    n, c, h, w = x_NCHW.shape
    size = max(g for g in range(1, min(group, n) + 1) if n % g == 0)
    if size == 1:  # the standard deviation of one image is zero
        channel = x_NCHW.new_full((n, 1, h, w), DEVIATION_EPS**0.5)
        return torch.cat((x_NCHW, channel), 1)
    groups = upcast(x_NCHW).view(size, n // size, c, h, w)
    deviation = (groups.var(0, unbiased=False) + DEVIATION_EPS).sqrt().mean((1, 2, 3))
    channel = deviation.repeat(size).view(n, 1, 1, 1).expand(-1, 1, h, w)
    return torch.cat((x_NCHW, channel.to(x_NCHW.dtype)), 1)


class Discriminator(nn.Module):
    """Discriminator D of images of `resolution` pixels.

    Args:
        resolution: side of the images in pixels, a power of two from 32.
        channel_multiplier: as for the generator.
        channels: channels at each resolution from 4 px, in place of the published widths.

    Attributes:
        compute_dtype: dtype of the feature maps; logits stay float32.

    Raises:
        DataError: `resolution` is not such a power of two.
    """

    def __init__(
        self,
        resolution: int,
        *,
        channel_multiplier: int = 2,
        channels: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        check_resolution(resolution)
        self.resolution = resolution
        self.compute_dtype = torch.float32
        sizes = [4 * 2**i for i in range(int(math.log2(resolution // 4)) + 1)]
        widths = list(channels or (channels_at(size, channel_multiplier) for size in sizes))
        blocks = [conv_layer(3, widths[-1], 1)]
        for wide, narrow in zip(reversed(widths[1:]), reversed(widths[:-1]), strict=True):
            blocks.append(ResBlock(wide, narrow))  # type: ignore[arg-type]
        self.convs = nn.Sequential(*blocks)
        last = widths[0]
        self.final_conv = conv_layer(last + 1, last, 3)
        self.final_linear = nn.Sequential(
            EqualLinear(last * 16, last, activate=True), EqualLinear(last, 1)
        )

    def forward(self, image_NCHW: Tensor) -> Tensor:
        """Compute logits (N, 1), float32, of images (N, 3, H, W) in [-1, 1]."""
        x = image_NCHW.to(self.compute_dtype, memory_format=torch.channels_last)
        x = self.final_conv(minibatch_stddev(self.convs(x)))
        logits: Tensor = self.final_linear(upcast(x.flatten(1)))
        return logits
