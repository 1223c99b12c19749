"""Extrinsic style path (DualStyleGAN, section 3.2): ModRes, T_c, T_s, and the face's tone.

Legend of shape suffixes: N image, C channel, H height, W width, D style width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dualstylegan.networks.layers import (
    ConvLayer,
    EqualConv2d,
    EqualLinear,
    FusedLeakyReLU,
    PixelNorm,
    upcast,
)

STRUCTURE_TRANSFORM_LAYERS = 2
INSTANCE_NORM_EPS = 1e-5
RESIDUAL_INIT = 0.01
COLOR_INIT = 0.01

Weight = float | Tensor


class AdaIN(nn.Module):
    """Adaptive instance normalisation (AdaIN): scale and shift from the style."""

    def __init__(self, channels: int, style_dim: int) -> None:
        super().__init__()
        self.style = nn.Linear(style_dim, 2 * channels)
        with torch.no_grad():
            self.style.bias.copy_(torch.cat((torch.ones(channels), torch.zeros(channels))))

    def forward(self, x_NCHW: Tensor, style_ND: Tensor) -> Tensor:
        affine_NC: Tensor = self.style(style_ND)
        gamma, beta = affine_NC[:, :, None, None].chunk(2, 1)
        x = upcast(x_NCHW)
        variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
        factor = gamma * torch.rsqrt(variance + INSTANCE_NORM_EPS)
        return torch.addcmul(beta - mean * factor, x, factor).to(x_NCHW.dtype)


class ModRes(nn.Module):
    """Modulative residual block: x + weight * F(x, style); a weight of zero leaves x untouched.

    Initialised near zero (weights x 0.01): training begins from the unconditional generator
    (stage 1 of progressive fine-tuning).

    Args:
        channels: channels of the feature map.
        style_dim: width D of the style.
        hidden: channels inside the block: `channels` in the published one, fewer in a bottleneck.
    """

    def __init__(self, channels: int, style_dim: int, hidden: int | None = None) -> None:
        super().__init__()
        hidden = hidden or channels
        self.conv = ConvLayer(
            EqualConv2d(channels, hidden, 3, padding=1, bias=False), FusedLeakyReLU(hidden)
        )
        self.conv2 = ConvLayer(
            EqualConv2d(hidden, channels, 3, padding=1, bias=False), FusedLeakyReLU(channels)
        )
        self.norm = AdaIN(channels, style_dim)
        self.norm2 = AdaIN(hidden, style_dim)
        with torch.no_grad():
            self.conv[0].weight.mul_(RESIDUAL_INIT)  # type: ignore[operator]
            self.conv2[0].weight.mul_(RESIDUAL_INIT)  # type: ignore[operator]

    def forward(self, x_NCHW: Tensor, style_ND: Tensor, weight: Weight = 1.0) -> Tensor:
        if isinstance(weight, float) and weight == 0:
            return x_NCHW
        residual: Tensor = self.conv(self.norm(x_NCHW, style_ND))
        residual = self.conv2(self.norm2(residual, style_ND))
        if isinstance(weight, Tensor):
            weight = weight.to(x_NCHW.dtype).view(-1, 1, 1, 1)
        elif weight == 1:
            return residual + x_NCHW
        output: Tensor = weight * residual + x_NCHW
        return output


def color_transform(style_dim: int) -> EqualLinear:
    """Build T_c of one row: a linear map, initialised to the identity plus noise."""
    layer = EqualLinear(style_dim, style_dim)
    with torch.no_grad():
        noise = COLOR_INIT * torch.randn(style_dim, style_dim)
        layer.weight.copy_(torch.eye(style_dim) / layer.scale + noise)
    return layer


class ToneTransform(nn.Module):
    """Low-rank linear map of a face's own colour row, zero at initialisation.

    T_c knows the exemplar alone: fair and dark hair or skin become the exemplar's. The tone carries
    light and dark of the face into the exemplar's colours.

    Args:
        style_dim: width D of a style.
        rank: of the map.
    """

    def __init__(self, style_dim: int, rank: int) -> None:
        super().__init__()
        self.down = EqualLinear(style_dim, rank)
        self.up = EqualLinear(rank, style_dim)
        nn.init.zeros_(self.up.weight)

    def forward(self, offset_ND: Tensor) -> Tensor:
        """Map a colour row's offset from the mean of W (N, D)."""
        tone_ND: Tensor = self.up(self.down(offset_ND))
        return tone_ND


def structure_transform(style_dim: int) -> nn.Sequential:
    """Build T_s: pixel norm and two dense layers, from W+ to the style of ModRes."""
    layers = [
        EqualLinear(style_dim, style_dim, lr_mul=0.01, activate=True)
        for _ in range(STRUCTURE_TRANSFORM_LAYERS)
    ]
    return nn.Sequential(PixelNorm(), *layers)
