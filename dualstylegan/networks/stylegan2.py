"""StyleGAN2 generator (Karras et al., 2020), in the published key layout, of any power-of-two size.

Legend of shape suffixes: N image, C channel, H height, W width, L row, D style width.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dualstylegan.errors import DataError
from dualstylegan.networks.double_backward import leaky_relu_
from dualstylegan.networks.generator import (
    MIN_PX,
    AfterRow,
    Generator,
    mapping_network,
    row_resolutions,
)
from dualstylegan.networks.layers import (
    LRELU_GAIN,
    LRELU_SLOPE,
    FirUpsample,
    FusedLeakyReLU,
    ModulatedConv2d,
    NoiseInjection,
    upcast,
)

MIN_RESOLUTION = 32
MAX_CHANNELS = 512


def channels_at(size: int, multiplier: int = 2) -> int:
    """Return the channels at `size` px: 512 up to 32, then halving, times `multiplier` from 64."""
    return MAX_CHANNELS if size <= 32 else MAX_CHANNELS * 32 * multiplier // size


def check_resolution(resolution: int) -> None:
    """Raise DataError if a size is not a power of two of at least 32 px."""
    if resolution < MIN_RESOLUTION or resolution & (resolution - 1):
        raise DataError(
            "unusable generator size",
            value=f"{resolution} px",
            limit=f"a power of two, {MIN_RESOLUTION} px or more",
            fix="choose 256, 512 or 1024",
        )


class StyledConv(nn.Module):
    """Modulated convolution, noise, bias and activation: one row of the code matrix."""

    def __init__(
        self, inputs: int, outputs: int, style_dim: int, *, upsample: bool = False
    ) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(inputs, outputs, 3, style_dim, upsample=upsample)
        self.noise = NoiseInjection()
        self.activate = FusedLeakyReLU(outputs)

    def forward(self, x: Tensor, w_ND: Tensor, noise: Tensor) -> Tensor:
        """Compute sqrt(2) lrelu(d x + n + b) in three passes over the map, the gain folded in."""
        x, demod_NO = self.conv.convolve(x, w_ND)
        assert demod_NO is not None
        factor = (LRELU_GAIN * demod_NO).to(x.dtype)[:, :, None, None]
        bias = (LRELU_GAIN * self.activate.bias).to(x.dtype)[:, None, None]
        x = torch.addcmul(bias, x, factor)
        x = x.add_((LRELU_GAIN * self.noise.weight * noise).to(x.dtype))
        return leaky_relu_(x, LRELU_SLOPE)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to RGB, added to the upsampled image of the block before."""

    def __init__(self, inputs: int, style_dim: int, *, upsample: bool = True) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(inputs, 3, 1, style_dim, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))
        if upsample:
            self.upsample = FirUpsample()

    def forward(self, x: Tensor, w_ND: Tensor, skip: Tensor | None) -> Tensor:
        rgb: Tensor = upcast(self.conv(x, w_ND)) + self.bias
        return rgb if skip is None else rgb + self.upsample(skip)


class ConstantInput(nn.Module):
    """Learnt 4x4 input of the synthesis network."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.input = nn.Parameter(torch.randn(1, channels, MIN_PX, MIN_PX))


class StyleGAN2(Generator):
    """StyleGAN2 generator of `resolution` pixels.

    Args:
        resolution: side of the output in pixels, a power of two from 32.
        style_dim: width D of the codes.
        mapping_layers: fully connected layers of the mapping network.
        channel_multiplier: factor on the channels from 64 px; 2 as published.
        channels: channels at each resolution from 4 px, in place of the published widths.

    Raises:
        DataError: `resolution` is not such a power of two, or `channels` do not fit it.
    """

    def __init__(
        self,
        resolution: int,
        *,
        style_dim: int = 512,
        mapping_layers: int = 8,
        channel_multiplier: int = 2,
        channels: Sequence[int] | None = None,
    ) -> None:
        check_resolution(resolution)
        super().__init__(resolution, style_dim, row_resolutions(resolution))
        doublings = int(math.log2(resolution // MIN_PX))
        sizes = [MIN_PX * 2**i for i in range(doublings + 1)]
        widths = list(channels or (channels_at(size, channel_multiplier) for size in sizes))
        if len(widths) != len(sizes):
            raise DataError(
                "channels do not fit",
                value=len(widths),
                limit=f"one for each {sizes}",
                fix="give one number per size",
            )
        self.style = mapping_network(style_dim, mapping_layers)
        self.input = ConstantInput(widths[0])
        self.conv1 = StyledConv(widths[0], widths[0], style_dim)
        self.to_rgb1 = ToRGB(widths[0], style_dim, upsample=False)
        self.convs = nn.ModuleList()
        self.to_rgbs = nn.ModuleList()
        self.noises = nn.Module()
        for i in range(self.rows - 1):
            shape = (1, 1, self.resolutions[i], self.resolutions[i])
            self.noises.register_buffer(f"noise_{i}", torch.randn(shape))
        for narrow, wide in itertools.pairwise(widths):
            self.convs.append(StyledConv(narrow, wide, style_dim, upsample=True))
            self.convs.append(StyledConv(wide, wide, style_dim))
            self.to_rgbs.append(ToRGB(wide, style_dim))

    def map(self, z: Tensor) -> Tensor:
        mapped: Tensor = self.style(z)
        return mapped

    def fixed_noise(self) -> list[Tensor]:
        """Return the stored noise maps (1, 1, H, W), one per styled convolution."""
        return [self.noises.get_buffer(f"noise_{i}") for i in range(self.rows - 1)]

    def random_noise(self, batch: int, rng: torch.Generator | None = None) -> list[Tensor]:
        """Draw noise maps (batch, 1, H, W), one per styled convolution, on the CPU from `rng`."""
        device = self.mean_w.device
        return [
            torch.randn(batch, 1, px, px, generator=rng).to(device) for px in self.resolutions[:-1]
        ]

    def synthesise(
        self,
        w_NLD: Tensor,
        *,
        size: int | None = None,
        noise: Sequence[Tensor] | None = None,
        after_row: AfterRow | None = None,
    ) -> Tensor:
        self.check_size(size)
        noise = self.fixed_noise() if noise is None else noise

        def styled(row: int, conv: nn.Module, x: Tensor) -> Tensor:
            x = conv(x, w_NLD[:, row], noise[row])
            return x if after_row is None else after_row(row, x)

        x = self.input.input.to(self.compute_dtype).expand(len(w_NLD), -1, -1, -1)
        x = x.contiguous(memory_format=torch.channels_last)
        x = styled(0, self.conv1, x)
        image: Tensor = self.to_rgb1(x, w_NLD[:, 1], None)
        for block, to_rgb in enumerate(self.to_rgbs):
            row = 2 * block + 1
            x = styled(row, self.convs[row - 1], x)
            x = styled(row + 1, self.convs[row], x)
            image = to_rgb(x, w_NLD[:, row + 2], image)
        return image
