"""Embedded encoder after pSp (Richardson et al., 2021): feature pyramid, one head per row.

Legend of shape suffixes: N image, C channel, H height, W width, L row, D style width.

At a tenth of pSp's size: coarse rows are predicted from the top of the pyramid, middle rows from
its middle, fine rows from its base. The backbone is MobileNetV2 (Sandler et al., 2018) with batch
normalisation folded into the convolutions. Codes are in Z+, where every row passes the mapping
network; since that begins with a pixel norm, rows are normalised to unit mean square and so stay
in distribution.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualstylegan.networks.layers import pixel_norm

# Expansion, channels, blocks, first stride (MobileNetV2, table 2).
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
STEM_CHANNELS = 32
TAPPED_STAGES = (2, 4, 6)
PYRAMID_CHANNELS = 128
ROW_CHANNELS = 32
TOP_PX = 4
INPUT_PX = 128
COARSE_ROWS = 3
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class InvertedResidual(nn.Module):
    """Inverted residual block: expand, depthwise, project; residual if the shapes agree."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand = nn.Conv2d(inputs, hidden, 1) if expansion > 1 else None
        self.filter = nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden)
        self.project = nn.Conv2d(hidden, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.filter(y)))
        return x + y if self.residual else y


class Backbone(nn.Module):
    """Convolutions of MobileNetV2: images to features at strides 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, STEM_CHANNELS, 3, 2, 1)
        self.stages = nn.ModuleList()
        inputs = STEM_CHANNELS
        for expansion, outputs, blocks, stride in STAGES:
            stage: list[nn.Module] = []
            for block in range(blocks):
                stage.append(
                    InvertedResidual(inputs, outputs, expansion, stride if block == 0 else 1)
                )
                inputs = outputs
            self.stages.append(nn.Sequential(*stage))

    def forward(self, x_NCHW: Tensor) -> list[Tensor]:
        x = F.relu6(self.stem(x_NCHW))
        taps = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in TAPPED_STAGES:
                taps.append(x)
        return taps


class PyramidLevel(nn.Module):
    """Level of the pyramid: stride-2 convolutions to 4 px, then one head per row."""

    def __init__(self, halvings: int, rows: int, style_dim: int) -> None:
        super().__init__()
        c = PYRAMID_CHANNELS
        self.down = nn.ModuleList(nn.Conv2d(c, c, 3, 2, 1) for _ in range(halvings))
        self.squeeze = nn.Conv2d(c, rows * ROW_CHANNELS, 1)
        self.rows = nn.Conv1d(rows * ROW_CHANNELS * TOP_PX**2, rows * style_dim, 1, groups=rows)
        self.count = rows

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.down:
            x = F.leaky_relu(conv(x), 0.2)
        x = F.leaky_relu(self.squeeze(x), 0.2)
        codes: Tensor = self.rows(x.flatten(1)[:, :, None])
        return codes.view(len(x), self.count, -1)


class PortraitEncoder(nn.Module):
    """E: aligned faces (N, 3, any, any) in [-1, 1] to Z+ codes (N, L, D) of unit mean square.

    Args:
        rows: rows L of the generator's code matrix.
        structure_rows: number of rows up to 32 px: three coarse ones, then middle ones.
        style_dim: width D of a code.
    """

    shift: Tensor
    spread: Tensor

    def __init__(self, rows: int, structure_rows: int, style_dim: int = 512) -> None:
        super().__init__()
        self.backbone = Backbone()
        taps = [STAGES[i][1] for i in TAPPED_STAGES]
        self.lateral = nn.ModuleList(nn.Conv2d(c, PYRAMID_CHANNELS, 1) for c in taps)
        counts = (rows - structure_rows, structure_rows - COARSE_ROWS, COARSE_ROWS)
        halvings = (2, 1, 0)
        self.levels = nn.ModuleList(
            PyramidLevel(h, n, style_dim) for h, n in zip(halvings, counts, strict=True)
        )
        mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
        self.register_buffer("shift", (2 * mean - 1).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("spread", (2 * std).view(1, 3, 1, 1), persistent=False)

    def forward(self, image_NCHW: Tensor) -> Tensor:
        if image_NCHW.shape[-1] != INPUT_PX:
            image_NCHW = F.interpolate(
                image_NCHW, (INPUT_PX, INPUT_PX), mode="bilinear", antialias=True
            )
        x = (image_NCHW - self.shift) / self.spread
        fine, middle, coarse = (
            conv(tap) for conv, tap in zip(self.lateral, self.backbone(x), strict=True)
        )
        middle = middle + F.interpolate(coarse, scale_factor=2.0, mode="bilinear")
        fine = fine + F.interpolate(middle, scale_factor=2.0, mode="bilinear")
        pyramid = (coarse, middle, fine)
        codes = [level(x) for level, x in zip(reversed(self.levels), pyramid, strict=True)]
        return pixel_norm(torch.cat(codes, 1))


def fold_batch_norm(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Convert MobileNetV2's published ImageNet state to the state of `Backbone`.

    Args:
        state: state dict of the classifier, keys `features.N...`, each convolution followed by its
            batch normalisation.
    """
    convs = [k for k, v in state.items() if k.endswith("weight") and v.ndim == 4]
    norms = [k for k in state if k.endswith("running_mean")]
    folded = []
    for conv, norm in zip(convs, norms, strict=True):
        stem = norm.removesuffix("running_mean")
        gain = state[stem + "weight"] * torch.rsqrt(state[stem + "running_var"] + 1e-5)
        bias = state[stem + "bias"] - state[norm] * gain
        folded.append((state[conv] * gain.view(-1, 1, 1, 1), bias))
    backbone = Backbone()
    targets = [n for n, m in backbone.named_modules() if isinstance(m, nn.Conv2d)]
    pairs = zip(targets, folded, strict=False)  # the classifier's last convolution is left out
    result: dict[str, Tensor] = {}
    for name, (weight, bias) in pairs:
        result[name + ".weight"], result[name + ".bias"] = weight, bias
    return result
