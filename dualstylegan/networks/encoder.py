"""Embedded encoder after pSp and ReStyle: feature pyramid, one head per row, several passes.

Legend of shape suffixes: N image, C channel, H height, W width, L row, K coarser row,
D style width, E embedding.

At a tenth of pSp's size: coarse rows are predicted from the top of the pyramid, middle rows from
its middle, fine rows from its base. The backbone is MobileNetV2 (Sandler et al., 2018) with batch
normalisation folded into the convolutions. Codes are in Z+, where every row passes the mapping
network; since that begins with a pixel norm, rows are normalised to unit mean square and so stay
in distribution.

The first pass sees the photo alone (pSp: Richardson et al., 2021). Each further pass also sees what
the generator renders of the code so far, and the step between the two identities, and corrects
that code (ReStyle: Alaluf et al., 2021).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualstylegan.networks.identity import EMBEDDING_DIM, SAME_PERSON_DISTANCE
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
IMAGES_SEEN = 2  # photo and rendering
TAPPED_STAGES = (2, 4, 6)
PYRAMID_CHANNELS = 128
ROW_CHANNELS = 32
TOP_PX = 4
INPUT_PX = 128
COARSE_ROWS = 3
# Rows K that a difference of identity corrects: those up to 64 px.
IDENTITY_ROWS = 9
IDENTITY_HIDDEN = 256
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
    """Convolutions of MobileNetV2: photo and rendering to features at strides 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3 * IMAGES_SEEN, STEM_CHANNELS, 3, 2, 1)
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


class IdentityCorrection(nn.Module):
    """Two embeddings of face recognition (N, E) to corrections of the coarser rows (N, K, D).

    Initially zero.
    """

    def __init__(self, style_dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(2 * EMBEDDING_DIM, IDENTITY_HIDDEN)
        self.rows = nn.Linear(IDENTITY_HIDDEN, IDENTITY_ROWS * style_dim)
        nn.init.zeros_(self.rows.weight)
        nn.init.zeros_(self.rows.bias)

    def forward(self, wanted_NE: Tensor, reached_NE: Tensor) -> Tensor:
        step_NE = (wanted_NE - reached_NE) / SAME_PERSON_DISTANCE
        x = F.leaky_relu(self.hidden(torch.cat((step_NE, reached_NE), 1)), 0.2)
        correction: Tensor = self.rows(x)
        return correction.view(len(x), IDENTITY_ROWS, -1)


@dataclass(frozen=True)
class EncoderPass:
    """Outcome of a pass: what the next one starts from.

    Attributes:
        code_NLD: Z+ codes.
        rendering_NCHW: g of the codes at 128 px, in [-1, 1].
        wanted_NE, reached_NE: embeddings of photo and rendering, by dlib's face recognition.
    """

    code_NLD: Tensor
    rendering_NCHW: Tensor
    wanted_NE: Tensor
    reached_NE: Tensor


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
        self.identity = IdentityCorrection(style_dim)
        mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
        self.register_buffer("shift", (2 * mean - 1).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("spread", (2 * std).view(1, 3, 1, 1), persistent=False)

    def forward(self, image_NCHW: Tensor, before: EncoderPass | None = None) -> Tensor:
        """Encode images, or correct the codes of an earlier pass."""
        photo_NCHW = self._standardised(image_NCHW)
        if before is None:
            return pixel_norm(self._rows(photo_NCHW, torch.zeros_like(photo_NCHW)))
        correction_NLD = self._rows(photo_NCHW, self._standardised(before.rendering_NCHW))
        identity_NKD = self.identity(before.wanted_NE, before.reached_NE)
        padding = (0, 0, 0, correction_NLD.shape[1] - IDENTITY_ROWS)
        return pixel_norm(before.code_NLD + correction_NLD + F.pad(identity_NKD, padding))

    def _standardised(self, image_NCHW: Tensor) -> Tensor:
        if image_NCHW.shape[-1] != INPUT_PX:
            size = (INPUT_PX, INPUT_PX)
            image_NCHW = F.interpolate(image_NCHW, size, mode="bilinear", antialias=True)
        return (image_NCHW - self.shift) / self.spread

    def _rows(self, photo_NCHW: Tensor, rendering_NCHW: Tensor) -> Tensor:
        taps = self.backbone(torch.cat((photo_NCHW, rendering_NCHW), 1))
        fine, middle, coarse = (conv(tap) for conv, tap in zip(self.lateral, taps, strict=True))
        middle = middle + F.interpolate(coarse, scale_factor=2.0, mode="bilinear")
        fine = fine + F.interpolate(middle, scale_factor=2.0, mode="bilinear")
        pyramid = (coarse, middle, fine)
        rows = [level(x) for level, x in zip(reversed(self.levels), pyramid, strict=True)]
        return torch.cat(rows, 1)


def with_passes(state: Mapping[str, Tensor], fresh: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Extend the state of an encoder of one pass; a state of several passes stays as it is.

    Its first pass computes the same codes. Further passes leave them as they are: the rendering
    meets zeros in the stem, and identity corrects nothing.

    Args:
        state: the encoder's state, with or without the parts of further passes.
        fresh: state of a newly built encoder.
    """
    extended = dict(state)
    stem = extended.get("backbone.stem.weight")
    missing = 0 if stem is None else fresh["backbone.stem.weight"].shape[1] - stem.shape[1]
    if stem is not None and missing > 0:
        extended["backbone.stem.weight"] = F.pad(stem, (0, 0, 0, 0, 0, missing))
        extended |= {k: v for k, v in fresh.items() if k.startswith("identity.")}
    return extended


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
