"""FaceNet (Schroff et al., 2015) as Inception-ResNet v1 (Szegedy et al., 2016), for evaluation.

Legend of shape suffixes: N image, C channel, H height, W width, E embedding.

Used in evaluation only, never in training or in the fit of codes: models can overfit to dlib's
network, which those optimise, but not to this one. Batch normalisation is folded into the
convolutions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FACENET_PX = 160
FACENET_DIM = 128
# Left, top, right and bottom of the face in an FFHQ crop, as fractions of its side. It is about
# the box of a face detector, and is squeezed to a square as the boxes were in FaceNet's training.
FACE_BOX = (55 / 256, 42 / 256, 201 / 256, 242 / 256)
# Cosine of two photos at the equal error rate of "same person": a Euclidean distance of 0.85.
SAME_PERSON_COSINE = 0.64
# Grey levels per unit of [-1, 1]. Before the division, the standard deviation of n values is raised
# to at least 1 / sqrt(n) grey levels.
LEVELS_PER_UNIT = 127.5

# A convolution: output channels, kernel height and width, stride; unpadded if the stride is 2.
Spec = tuple[int, int, int, int]


class ConvReLU(nn.Conv2d):
    """Convolution with a folded batch normalisation, and ReLU."""

    def __init__(
        self, inputs: int, outputs: int, height: int, width: int, stride: int = 1, pad: bool = True
    ) -> None:
        padding = (height // 2, width // 2) if pad else 0
        super().__init__(inputs, outputs, (height, width), stride, padding)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(super().forward(x))


def row(inputs: int, *specs: Spec) -> nn.Sequential:
    """Chain convolutions; those that halve the resolution have no padding."""
    layers = []
    for outputs, height, width, stride in specs:
        layers.append(ConvReLU(inputs, outputs, height, width, stride, pad=stride == 1))
        inputs = outputs
    return nn.Sequential(*layers)


class Residual(nn.Module):
    """Inception-ResNet block: x + scale * project(branches), then ReLU but in the last block."""

    def __init__(
        self, channels: int, scale: float, *branches: tuple[Spec, ...], last: bool = False
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(row(channels, *branch) for branch in branches)
        width = sum(branch[-1][0] for branch in branches)
        self.project = nn.Conv2d(width, channels, 1)
        self.scale, self.last = scale, last

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(torch.cat([branch(x) for branch in self.branches], 1))
        x = x + self.scale * y
        return x if self.last else F.relu(x)


class Reduction(nn.Module):
    """Halve the resolution: strided branches beside a max pooling."""

    def __init__(self, channels: int, *branches: tuple[Spec, ...]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(row(channels, *branch) for branch in branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([*(branch(x) for branch in self.branches), F.max_pool2d(x, 3, 2)], 1)


def block_35(count: int) -> list[nn.Module]:
    """Build blocks at 17 px (35 px in the paper's network), 256 channels."""
    one, three = (32, 1, 1, 1), (32, 3, 3, 1)
    return [Residual(256, 0.17, (one,), (one, three), (one, three, three)) for _ in range(count)]


def block_17(count: int) -> list[nn.Module]:
    """Build blocks at 8 px, 896 channels, with a 7 x 7 kernel in two parts."""
    one = (128, 1, 1, 1)
    seven = one, (128, 1, 7, 1), (128, 7, 1, 1)
    return [Residual(896, 0.1, (one,), seven) for _ in range(count)]


def block_8(count: int) -> list[nn.Module]:
    """Build blocks at 3 px, 1792 channels; the last has scale 1 and no ReLU."""
    one = (192, 1, 1, 1)
    three = one, (192, 1, 3, 1), (192, 3, 1, 1)
    last = Residual(1792, 1.0, (one,), three, last=True)
    return [*(Residual(1792, 0.2, (one,), three) for _ in range(count - 1)), last]


class FaceNet(nn.Module):
    """FFHQ-aligned portraits (N, 3, any, any) in [-1, 1] to unit embeddings (N, 128)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            ConvReLU(3, 32, 3, 3, 2, pad=False),
            ConvReLU(32, 32, 3, 3, pad=False),
            ConvReLU(32, 64, 3, 3),
            nn.MaxPool2d(3, 2),
            ConvReLU(64, 80, 1, 1),
            ConvReLU(80, 192, 3, 3, pad=False),
            ConvReLU(192, 256, 3, 3, 2, pad=False),
        )
        self.blocks = nn.Sequential(
            *block_35(5),
            Reduction(256, ((384, 3, 3, 2),), ((192, 1, 1, 1), (192, 3, 3, 1), (256, 3, 3, 2))),
            *block_17(10),
            Reduction(
                896,
                ((256, 1, 1, 1), (384, 3, 3, 2)),
                ((256, 1, 1, 1), (256, 3, 3, 2)),
                ((256, 1, 1, 1), (256, 3, 3, 1), (256, 3, 3, 2)),
            ),
            *block_8(6),
        )
        self.embed = nn.Linear(1792, FACENET_DIM)

    def forward(self, image_NCHW: Tensor) -> Tensor:
        x = standardise(face_box(image_NCHW))
        return F.normalize(self.embed(self.blocks(self.stem(x)).mean((2, 3))))


def face_box(image_NCHW: Tensor) -> Tensor:
    """Cut the face (N, 3, 160, 160) out of FFHQ crops."""
    side = image_NCHW.shape[-1]
    left, top, right, bottom = (round(edge * side) for edge in FACE_BOX)
    face = image_NCHW[..., top:bottom, left:right]
    return F.interpolate(face, (FACENET_PX, FACENET_PX), mode="bilinear", antialias=True)


def standardise(image_NCHW: Tensor) -> Tensor:
    """Shift and scale each image of [-1, 1] to mean 0 and standard deviation 1 over its values."""
    mean = image_NCHW.mean((1, 2, 3), keepdim=True)
    least = (1 / LEVELS_PER_UNIT) ** 2 / image_NCHW[0].numel()
    variance = image_NCHW.var((1, 2, 3), unbiased=False, keepdim=True)
    return (image_NCHW - mean) * variance.clamp_min(least).rsqrt()


def cosine(first_NE: Tensor, second_NE: Tensor) -> Tensor:
    """Compute the cosine (N,) of unit embeddings: 1 for equal ones, about 0.05 for two people."""
    return (first_NE * second_NE).sum(-1)
