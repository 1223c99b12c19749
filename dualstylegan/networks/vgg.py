"""VGG16 features and LPIPS v0.1 (Zhang et al., 2018).

Legend of shape suffixes: N image, C channel, H height, W width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualstylegan.networks.weight_cache import conv_weight

# Channels of the convolutions of each stage; a stage ends in its feature map, pooling follows.
VGG16_STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
INPUT_SHIFT = (-0.030, -0.088, -0.188)
INPUT_SCALE = (0.458, 0.448, 0.450)
NORM_EPS = 1e-10
MAX_PX = 256


def normalize_channels(x_NCHW: Tensor) -> Tensor:
    """Normalise the channel vector at each position to unit length, in float32."""
    x = x_NCHW.float()
    return x / (x.square().sum(1, keepdim=True) + NORM_EPS).sqrt()


def downsampled(image_NCHW: Tensor, size: int) -> Tensor:
    """Average images larger than `size` pixels down to it; return others unchanged."""
    if image_NCHW.shape[-1] <= size:
        return image_NCHW
    return F.adaptive_avg_pool2d(image_NCHW, size)


class PerceptualNetwork(nn.Module, ABC):
    """Interface of perceptual distances: features of images in [-1, 1], and a distance of features.

    The two are separate so that the features of a fixed target are computed once.
    """

    @abstractmethod
    def features(self, image_NCHW: Tensor, stages: int | None = None) -> list[Tensor]:
        """Compute the first `stages` feature maps, finest first; by default those of `distance`."""

    @abstractmethod
    def distance(self, first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
        """Compute the distance (N,), float32, of images from their feature maps."""

    def forward(self, first_NCHW: Tensor, second_NCHW: Tensor) -> Tensor:
        """Compute the distance (N,) between two batches of images (N, 3, H, W) in [-1, 1]."""
        return self.distance(self.features(first_NCHW), self.features(second_NCHW))


def conv3x3(x_NCHW: Tensor, conv: nn.Conv2d) -> Tensor:
    """Apply a 3x3 convolution in the dtype of its input."""
    assert conv.bias is not None
    dtype = x_NCHW.dtype
    return F.conv2d(x_NCHW, conv_weight(conv.weight, dtype), conv.bias.to(dtype), padding=1)


class VGG16(nn.Module):
    """VGG16's feature maps relu1_2, relu2_2, relu3_3, relu4_3, relu5_3 of images in [-1, 1].

    Attributes:
        compute_dtype: dtype of the convolutions and of the feature maps.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.compute_dtype = torch.float32
        self.stages = nn.ModuleList()
        inputs = 3
        for widths in VGG16_STAGES:
            stage = nn.ModuleList()
            for width in widths:
                stage.append(nn.Conv2d(inputs, width, 3, padding=1))
                inputs = width
            self.stages.append(stage)
        self.register_buffer("shift", torch.tensor(INPUT_SHIFT).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(INPUT_SCALE).view(1, 3, 1, 1), persistent=False)

    def forward(self, image_NCHW: Tensor, stages: int = len(VGG16_STAGES)) -> list[Tensor]:
        """Compute the first `stages` feature maps (N, C, H, W), finest first."""
        x = (image_NCHW - self.shift) / self.scale
        x = x.to(self.compute_dtype, memory_format=torch.channels_last)
        maps = []
        for index, stage in enumerate(list(self.stages)[:stages]):
            if index:
                x = F.max_pool2d(x, 2)
            for conv in cast(list[nn.Conv2d], stage):
                x = F.relu_(conv3x3(x, conv))
            maps.append(x)
        return maps


class LPIPS(PerceptualNetwork):
    """LPIPS: learned perceptual distance, linear heads of version 0.1 on VGG16, at most 256 px."""

    def __init__(self) -> None:
        super().__init__()
        self.vgg = VGG16()
        self.heads = nn.ParameterList(
            nn.Parameter(torch.zeros(1, widths[-1], 1, 1)) for widths in VGG16_STAGES
        )

    def features(self, image_NCHW: Tensor, stages: int | None = None) -> list[Tensor]:
        maps: list[Tensor] = self.vgg(downsampled(image_NCHW, MAX_PX), stages or len(self.heads))
        return maps

    def distance(self, first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
        total: Tensor | None = None
        for head, a, b in zip(self.heads, first, second, strict=True):
            difference = (normalize_channels(a) - normalize_channels(b)).square()
            layer = (difference * head).sum(1).mean((1, 2))
            total = layer if total is None else total + layer
        assert total is not None
        return total
