"""MobileStyleGAN (Belousov, 2021): StyleGAN2's mapping network and a wavelet synthesis network.

Legend of shape suffixes: N image, C channel, H height, W width, L row, D style width.

Each block doubles the size with an inverse Haar transform that turns 4C channels into C, then runs
two style-modulated depthwise-separable convolutions. Demodulation and the learning-rate scales are
folded into the weights, and the noise is constant. RGB heads, the project's own, predict images
from the features at 64, 128 and 256 px; 1024 px is the network's own output.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualstylegan.networks.generator import (
    MAPPING_LAYERS,
    MIN_PX,
    AfterRow,
    Generator,
    row_resolutions,
)
from dualstylegan.networks.layers import leaky_relu_scaled, pixel_norm
from dualstylegan.networks.mesh import suppress_mesh

STYLE_DIM = 512
CHANNELS = (512, 512, 512, 512, 256, 128, 64)
FEATURES_PX = MIN_PX * 2 ** len(CHANNELS)
# Sizes with an RGB head, and the width of its perceptron: about equal cost per head.
HEAD_WIDTHS = {64: 128, 128: 64, 256: 32}
HEAD_SIZES = tuple(HEAD_WIDTHS)
HEAD_LAYERS = 3
HEAD_STYLE_DIM = 64
SLOPE = 0.2


def inverse_haar(x_NCHW: Tensor) -> Tensor:
    """Apply the inverse Haar transform: (N, 4C, H, W) to (N, C, 2H, 2W).

    The first C channels are the low band; the other 3C hold, channel by channel, the vertical,
    horizontal and diagonal details. The result is in channels-last memory, in which the
    convolutions that follow run without reordering it (a third of their time).
    """
    n, channels, height, width = x_NCHW.shape
    c = channels // 4
    x_NHWC = x_NCHW.permute(0, 2, 3, 1)
    low_NHWC = x_NHWC[..., :c]
    down, across, diagonal = x_NHWC[..., c:].reshape(n, height, width, c, 3).unbind(-1)
    top, bottom = low_NHWC + down, low_NHWC - down
    left, right = across + diagonal, across - diagonal
    upper = torch.stack((top + left, top - left), 3)
    lower = torch.stack((bottom + right, bottom - right), 3)
    pixels = torch.stack((upper, lower), 2).mul_(0.5)
    return pixels.reshape(n, 2 * height, 2 * width, c).permute(0, 3, 1, 2)


class Mapping(nn.Module):
    """Mapping network with effective weights (learning-rate multiplier folded in)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(STYLE_DIM, STYLE_DIM) for _ in range(MAPPING_LAYERS))

    def forward(self, z: Tensor) -> Tensor:
        x = pixel_norm(z)
        for layer in self.layers:
            x = leaky_relu_scaled(layer(x))
        return x


def modulate(x_NCHW: Tensor, modulation: nn.Linear, w_ND: Tensor) -> Tensor:
    """Scale each channel by an affine function of the style."""
    scale_NC: Tensor = modulation(w_ND)
    return x_NCHW * scale_NC.to(x_NCHW.dtype)[:, :, None, None]


def pointwise(x_NCHW: Tensor, conv: nn.Module) -> Tensor:
    """Apply a 1x1 convolution in the dtype of its input."""
    conv = cast(nn.Conv2d, conv)
    assert conv.bias is not None
    return F.conv2d(x_NCHW, conv.weight.to(x_NCHW.dtype), conv.bias.to(x_NCHW.dtype))


def activated(x_NCHW: Tensor, noise: Tensor) -> Tensor:
    """Add noise to a convolution's output and apply the leaky ReLU, both in place."""
    return F.leaky_relu(x_NCHW.add_(noise.to(x_NCHW.dtype)), SLOPE, inplace=True)


class FirstConv(nn.Module):
    """Modulated 3x3 convolution at 4 px."""

    def __init__(self) -> None:
        super().__init__()
        channels = CHANNELS[0]
        self.weight = nn.Parameter(torch.zeros(channels, channels, 3, 3))
        self.noise = nn.Parameter(torch.zeros(1, 1, MIN_PX, MIN_PX))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.modulation = nn.Linear(STYLE_DIM, channels)

    def forward(self, x: Tensor, w_ND: Tensor) -> Tensor:
        dtype = x.dtype
        x = modulate(x, self.modulation, w_ND)
        x = F.conv2d(x, self.weight.to(dtype), self.bias.to(dtype), padding=1)
        return activated(x, self.noise)


class SeparableConv(nn.Module):
    """Modulated depthwise 3x3 convolution, then a pointwise one with noise, bias, leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        super().__init__()
        self.depthwise = nn.Parameter(torch.zeros(inputs, 1, 3, 3))
        self.pointwise = nn.Parameter(torch.zeros(outputs, inputs, 1, 1))
        self.noise = nn.Parameter(torch.zeros(1, 1, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.modulation = nn.Linear(STYLE_DIM, inputs)

    def forward(self, x: Tensor, w_ND: Tensor) -> Tensor:
        dtype = x.dtype
        x = modulate(x, self.modulation, w_ND)
        x = F.conv2d(x, self.depthwise.to(dtype), padding=1, groups=x.shape[1])
        x = F.conv2d(x, self.pointwise.to(dtype), self.bias.to(dtype))
        return activated(x, self.noise)


class Upsample(nn.Module):
    """Modulation, then the inverse Haar transform."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.modulation = nn.Linear(STYLE_DIM, inputs)

    def forward(self, x: Tensor, w_ND: Tensor) -> Tensor:
        return inverse_haar(modulate(x, self.modulation, w_ND))


class Block(nn.Module):
    """Block that doubles the size; its first row modulates `up` and `conv1`, its second `conv2`."""

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        super().__init__()
        self.up = Upsample(inputs)
        self.conv1 = SeparableConv(inputs // 4, outputs, size)
        self.conv2 = SeparableConv(outputs, outputs, size)


class ToImage(nn.Module):
    """Output layer: 12 wavelet channels at half size, transformed to RGB."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(12, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(12))
        self.modulation = nn.Linear(STYLE_DIM, inputs)

    def forward(self, x: Tensor, w_ND: Tensor) -> Tensor:
        x = modulate(x, self.modulation, w_ND)
        return inverse_haar(F.conv2d(x, self.weight.to(x.dtype), self.bias.to(x.dtype)))


class RgbHead(nn.Module):
    """RGB head: predicts, per pixel, the network's image from the features of a block.

    Sum of a modulated linear map and a perceptron of a few modulated layers. The perceptron
    replaces the blocks that are skipped; like theirs, its layers are
    modulated by rows up to the output's.

    Args:
        inputs: channels of the features.
        hidden: width of the perceptron.
        rows: rows of the code matrix; the first modulates the features, each further one a layer.
    """

    def __init__(self, inputs: int, hidden: int, rows: Sequence[int]) -> None:
        super().__init__()
        self.rows = tuple(rows)
        widths = (inputs, *[hidden] * (len(rows) - 1))
        self.styles = nn.ModuleList(nn.Linear(STYLE_DIM, HEAD_STYLE_DIM) for _ in rows)
        self.modulations = nn.ModuleList(nn.Linear(HEAD_STYLE_DIM, width) for width in widths)
        self.layers = nn.ModuleList(
            nn.Conv2d(width, hidden, 1) for width in (inputs, *widths[1:-1])
        )
        self.linear = nn.Conv2d(inputs, 3, 1)
        self.output = nn.Conv2d(hidden, 3, 1)
        for modulation in cast(Iterator[nn.Linear], self.modulations):
            nn.init.normal_(modulation.weight, std=0.01)
            nn.init.ones_(modulation.bias)
        nn.init.zeros_(self.output.weight)

    def forward(self, x: Tensor, w_NLD: Tensor) -> Tensor:
        """Predict images (N, 3, H, W) from features (N, C, H, W)."""
        scales = [
            modulation(F.leaky_relu(style(w_NLD[:, row]), SLOPE)).to(x.dtype)[:, :, None, None]
            for row, style, modulation in zip(self.rows, self.styles, self.modulations, strict=True)
        ]
        x = x * scales[0]
        image = pointwise(x, self.linear)
        for layer, scale in zip(self.layers, scales[1:], strict=True):
            x = F.leaky_relu(pointwise(x, layer), SLOPE) * scale
        return image + pointwise(x, self.output)


def replace_coarse(small_NCHW: Tensor, large_NCHW: Tensor) -> Tensor:
    """Replace the part of the large images that survives reduction by the small images."""

    def resized(x: Tensor, like: Tensor) -> Tensor:
        return F.interpolate(x, like.shape[-2:], mode="bilinear", antialias=True)

    return large_NCHW + resized(small_NCHW - resized(large_NCHW, small_NCHW), large_NCHW)


class MobileStyleGAN(Generator):
    """Embedded generator: 16 rows, 1024 px, and RGB heads at 64, 128 and 256 px.

    Unlike StyleGAN2, whose image is a sum over resolutions, it sets the colours in its output layer
    alone, which a head predicts. Codes and extrinsic paths optimised at a smaller size depend on
    the head there: with `coarse_px`, a larger image takes its coarse content from the head at that
    size and keeps its own detail. No loss there sees what the blocks above make of their rows, and
    optimised rows end farther from the mean of W than almost any face: at full size, false colours,
    doubled rims and a mesh come of it. Full-size images therefore take the mean of W in these
    rows, and what remains of the mesh, which g has of itself, is filtered out.

    Row 2i+1 modulates `up` and `conv1` of block i, row 2i+2 its `conv2`. The last row modulates the
    output and every head, besides rows of the blocks that the head skips.

    Args:
        coarse_px: size of the head that sets coarse content; None: each size by itself.
    """

    folded_scales = True

    def __init__(self, coarse_px: int | None = None) -> None:
        super().__init__(2 * FEATURES_PX, STYLE_DIM, row_resolutions(FEATURES_PX))
        self.output_sizes = (*HEAD_SIZES, self.resolution)
        self.coarse_px = coarse_px
        self.mapping = Mapping()
        self.constant = nn.Parameter(torch.zeros(1, CHANNELS[0], MIN_PX, MIN_PX))
        self.conv1 = FirstConv()
        widths = (CHANNELS[0], *CHANNELS)
        self.sizes = [2 * MIN_PX * 2**i for i in range(len(CHANNELS))]
        self.blocks = nn.ModuleList(
            Block(widths[i], widths[i + 1], size) for i, size in enumerate(self.sizes)
        )
        self.heads = nn.ModuleDict(
            {
                str(size): RgbHead(CHANNELS[self.sizes.index(size)], hidden, self._head_rows(size))
                for size, hidden in HEAD_WIDTHS.items()
            }
        )
        self.to_img = ToImage(CHANNELS[-1])

    def map(self, z: Tensor) -> Tensor:
        mapped: Tensor = self.mapping(z)
        return mapped

    def synthesise(
        self,
        w_NLD: Tensor,
        *,
        size: int | None = None,
        noise: Sequence[Tensor] | None = None,
        after_row: AfterRow | None = None,
    ) -> Tensor:
        if noise is not None:
            raise ValueError("MobileStyleGAN's noise is constant: pass noise=None")
        size = self.check_size(size)
        coarse_px = size if self.coarse_px is None else min(size, self.coarse_px)
        full = size == self.resolution and coarse_px < size
        detail_NLD = self._detail_code(w_NLD, coarse_px) if full else w_NLD
        coarse = None
        for block_px, features in self.features(detail_NLD, after_row):
            if block_px == size:
                image = self._head(size, features, w_NLD)
                break
            if block_px == coarse_px:
                coarse = self._head(coarse_px, features, w_NLD)
        else:
            image = self.to_img(features, detail_NLD[:, -1]).float()
        if coarse is None:
            return image
        image = replace_coarse(coarse, image)
        return suppress_mesh(image, size // coarse_px) if full else image

    def _detail_code(self, w_NLD: Tensor, coarse_px: int) -> Tensor:
        """Replace the rows of the blocks above `coarse_px`, and the output's, by the mean of W."""
        first = 2 * self.sizes.index(coarse_px) + 3
        mean_NLD = self.mean_w.expand(len(w_NLD), self.rows - first, -1)
        return torch.cat((w_NLD[:, :first], mean_NLD), 1)

    def _head_rows(self, size: int) -> list[int]:
        """Return rows evenly spaced from the one after a block's to the output's."""
        first, last = 2 * self.sizes.index(size) + 3, self.rows - 1
        return [first + round((last - first) * i / HEAD_LAYERS) for i in range(HEAD_LAYERS + 1)]

    def _head(self, size: int, features: Tensor, w_NLD: Tensor) -> Tensor:
        """Predict the image of `size` pixels from features of that size."""
        image: Tensor = self.heads[str(size)](features, w_NLD)
        return image.float()

    def features(
        self, w_NLD: Tensor, after_row: AfterRow | None = None
    ) -> Iterator[tuple[int, Tensor]]:
        """Yield the size in pixels and the feature map (N, C, H, W) of each block, lazily."""

        def finish(row: int, x: Tensor) -> Tensor:
            return x if after_row is None else after_row(row, x)

        x = self.constant.to(self.compute_dtype).expand(len(w_NLD), -1, -1, -1)
        x = finish(0, self.conv1(x, w_NLD[:, 0]))
        for i, block_size in enumerate(self.sizes):
            block = cast(Block, self.blocks[i])
            first, second = 2 * i + 1, 2 * i + 2
            x = block.up(x, w_NLD[:, first])
            x = finish(first, block.conv1(x, w_NLD[:, first]))
            x = finish(second, block.conv2(x, w_NLD[:, second]))
            yield block_size, x
