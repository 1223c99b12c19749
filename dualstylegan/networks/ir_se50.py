"""IR-SE50, the face recognition network of the published identity loss, in its key layout.

An improved residual network of 24 blocks with squeeze and excitation (ArcFace, Deng et al., 2019,
section 3.2.1; Hu et al., 2018). pSp's encoder has the same backbone.

Legend of shape suffixes: N image, C channel, H height, W width, D embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualstylegan.networks.layers import upcast

# Channels and blocks of each of the four stages; the first block of a stage halves the size.
STAGES = ((64, 3), (128, 4), (256, 14), (512, 3))
STEM_CHANNELS = 64
SQUEEZE = 16
INPUT_PX = 112
EMBEDDING_DIM = 512
DROPOUT = 0.6
# Face region of the published identity loss, in pixels of an FFHQ crop of 256 px.
FACE_PX = 256
FACE_ROWS = slice(35, 223)
FACE_COLUMNS = slice(32, 220)


class SqueezeExcite(nn.Module):
    """Squeeze and excitation: scale channels by gates computed from all channel means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // SQUEEZE, 1, bias=False)
        self.fc2 = nn.Conv2d(channels // SQUEEZE, channels, 1, bias=False)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        gate = x_NCHW.mean((2, 3), keepdim=True)
        return x_NCHW * torch.sigmoid(self.fc2(F.relu(self.fc1(gate))))


class ResidualBlock(nn.Module):
    """Improved residual block: norm, conv, PReLU, conv, norm, squeeze and excitation; shortcut.

    If the number of channels stays the same, the shortcut subsamples by `stride` without weights.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.shortcut_layer = (
            nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
            if inputs != outputs
            else nn.MaxPool2d(1, stride)
        )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            SqueezeExcite(outputs),
        )

    def forward(self, x_NCHW: Tensor) -> Tensor:
        y: Tensor = self.res_layer(x_NCHW) + self.shortcut_layer(x_NCHW)
        return y


def stem() -> nn.Sequential:
    """Build the first convolution, at full size."""
    conv = nn.Conv2d(3, STEM_CHANNELS, 3, 1, 1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(STEM_CHANNELS), nn.PReLU(STEM_CHANNELS))


def backbone() -> nn.Sequential:
    """Build the 24 residual blocks, at 1/2, 1/4, 1/8 and 1/16 of the input size."""
    blocks = []
    inputs = STEM_CHANNELS
    for channels, count in STAGES:
        for index in range(count):
            blocks.append(ResidualBlock(inputs, channels, 2 if index == 0 else 1))
            inputs = channels
    return nn.Sequential(*blocks)


class IRSE50(nn.Module):
    """IR-SE50: face crops to embeddings of unit length.

    For evaluation mode, in which batch normalisation makes images independent of the batch.

    Attributes:
        compute_dtype: dtype of convolutions and matrix products; embeddings stay float32.
    """

    def __init__(self) -> None:
        super().__init__()
        self.compute_dtype = torch.float32
        self.input_layer = stem()
        self.body = backbone()
        channels, size = STAGES[-1][0], INPUT_PX // 16
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.Dropout(DROPOUT),
            nn.Flatten(),
            nn.Linear(channels * size * size, EMBEDDING_DIM),
            nn.BatchNorm1d(EMBEDDING_DIM),
        )

    def forward(self, face_NCHW: Tensor) -> Tensor:
        """Compute embeddings (N, 512) of face crops (N, 3, 112, 112) in [-1, 1]."""
        narrow = self.compute_dtype != torch.float32
        with torch.autocast(face_NCHW.device.type, self.compute_dtype, enabled=narrow):
            x = self.output_layer(self.body(self.input_layer(face_NCHW)))
        return F.normalize(upcast(x), dim=-1)

    def embed_aligned(self, image_NCHW: Tensor) -> Tensor:
        """Compute embeddings (N, 512) of FFHQ-aligned images (N, 3, any, any) in [-1, 1].

        As the published identity loss does, differentiably: average to 256 px, crop to the face,
        average to 112 px.
        """
        if image_NCHW.shape[-1] != FACE_PX:
            image_NCHW = F.adaptive_avg_pool2d(image_NCHW, FACE_PX)
        face_NCHW = image_NCHW[:, :, FACE_ROWS, FACE_COLUMNS]
        embedding: Tensor = self(F.adaptive_avg_pool2d(face_NCHW, INPUT_PX))
        return embedding
