"""pSp encoder (Richardson et al., 2021; section 3.1 of the paper), in the published key layout.

Legend of shape suffixes: N image, C channel, H height, W width, L row, D style width.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualstylegan.networks.ir_se50 import STAGES, backbone, stem
from dualstylegan.networks.layers import EqualLinear

INPUT_PX = 256
STYLE_DIM = 512
COARSE_ROWS = 3
MIDDLE_ROWS = 4
# Blocks whose output enters the pyramid: the last with 128 channels, with 256, and of all.
TAPPED_BLOCKS = (6, 20, 23)
# Number of stride-2 convolutions from a level (16, 32, 64 px) to one pixel.
COARSE_HALVINGS, MIDDLE_HALVINGS, FINE_HALVINGS = 4, 5, 6

EncoderSpace = Literal["z_plus", "w_plus"]


class RowHead(nn.Module):
    """Head of one row: stride-2 convolutions to one pixel, then a linear layer."""

    def __init__(self, halvings: int, style_dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(halvings):
            layers += [nn.Conv2d(style_dim, style_dim, 3, 2, 1), nn.LeakyReLU(0.01)]
        self.convs = nn.Sequential(*layers)
        self.linear = EqualLinear(style_dim, style_dim)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        row_ND: Tensor = self.linear(self.convs(x_NCHW).flatten(1))
        return row_ND


def upsample_and_add(x_NCHW: Tensor, lateral_NCHW: Tensor) -> Tensor:
    """Upsample `x`, corners aligned, and add the lateral features: one step of the pyramid."""
    size = lateral_NCHW.shape[-2:]
    return F.interpolate(x_NCHW, size, mode="bilinear", align_corners=True) + lateral_NCHW


class GradualStyleEncoder(nn.Module):
    """Feature pyramid over IR-SE50's backbone with one head per row.

    For evaluation mode, in which batch normalisation makes images independent of the batch.

    Args:
        rows: rows L of the code matrix: 18 for a generator of 1024 px.
        style_dim: width D of a code.
    """

    def __init__(self, rows: int, style_dim: int = STYLE_DIM) -> None:
        super().__init__()
        self.rows = rows
        self.input_layer = stem()
        self.body = backbone()
        self.styles = nn.ModuleList()
        for row in range(rows):
            if row < COARSE_ROWS:
                halvings = COARSE_HALVINGS
            else:
                middle = row < COARSE_ROWS + MIDDLE_ROWS
                halvings = MIDDLE_HALVINGS if middle else FINE_HALVINGS
            self.styles.append(RowHead(halvings, style_dim))
        self.latlayer1 = nn.Conv2d(STAGES[2][0], style_dim, 1)
        self.latlayer2 = nn.Conv2d(STAGES[1][0], style_dim, 1)

    def forward(self, image_NCHW: Tensor) -> Tensor:
        """Encode aligned faces (N, 3, 256, 256) in [-1, 1] to codes (N, L, D)."""
        x = self.input_layer(image_NCHW)
        taps = []
        for index, block in enumerate(self.body):
            x = block(x)
            if index in TAPPED_BLOCKS:
                taps.append(x)
        fine, middle, coarse = taps
        middle = upsample_and_add(coarse, self.latlayer1(middle))
        fine = upsample_and_add(middle, self.latlayer2(fine))
        levels = [coarse] * COARSE_ROWS + [middle] * MIDDLE_ROWS
        levels += [fine] * (self.rows - len(levels))
        return torch.stack([head(x) for head, x in zip(self.styles, levels, strict=True)], 1)


class PublishedEncoder(nn.Module):
    """Published encoder E for aligned faces of any size.

    Args:
        rows: rows L of the code matrix.
        space: space of the codes: Z+ for the paper's encoder, W+ for pSp's own.

    Attributes:
        latent_avg: offset (L, D) of the codes: the mean latent code if the checkpoint was trained
            relative to it, else zero.
    """

    latent_avg: Tensor

    def __init__(
        self, rows: int, space: EncoderSpace = "z_plus", style_dim: int = STYLE_DIM
    ) -> None:
        super().__init__()
        self.space = space
        self.encoder = GradualStyleEncoder(rows, style_dim)
        self.register_buffer("latent_avg", torch.zeros(rows, style_dim))

    def forward(self, image_NCHW: Tensor) -> Tensor:
        """Encode aligned faces (N, 3, any, any) in [-1, 1] to codes (N, L, D) in `space`."""
        if image_NCHW.shape[-2:] != (INPUT_PX, INPUT_PX):
            image_NCHW = F.adaptive_avg_pool2d(image_NCHW, INPUT_PX)
        codes: Tensor = self.encoder(image_NCHW) + self.latent_avg
        return codes
