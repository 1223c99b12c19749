"""Identity: dlib's face recognition ResNet (King, 2017), CC0, on FFHQ-aligned portraits.

Legend of shape suffixes: N image, C channel, H height, W width, E embedding.

The network expects a 150-px chip cut by its own landmarks. Portraits are FFHQ crops already, whose
face lies in a fixed place, so that one fixed affine map cuts the chip, differentiably.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CHIP_PX = 150
EMBEDDING = 128
# Channels, blocks, and whether the first block halves the size.
STAGES = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))
PIXEL_MEAN = (122.782, 117.001, 104.298)
PIXEL_SCALE = 256.0
SAME_PERSON_DISTANCE = 0.6
# The chip inside an FFHQ crop, as shares of its side: left, top and size. Medians over generated
# faces; embeddings then lie within 0.16 of those of dlib's own chips.
CHIP_BOX = (0.160, 0.255, 0.700)


class Block(nn.Module):
    """Two convolutions; the skip is average-pooled when halved and zero-padded when widened."""

    def __init__(self, inputs: int, outputs: int, halve: bool) -> None:
        super().__init__()
        self.halve = halve
        # A halving convolution is not padded, as dlib builds it.
        self.first = nn.Conv2d(inputs, outputs, 3, 2 if halve else 1, 0 if halve else 1)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(F.relu(self.first(x)))
        skip = F.avg_pool2d(x, 2, 2) if self.halve else x
        return F.relu(grow(y, skip) + grow(skip, y))


def grow(x_NCHW: Tensor, other_NCHW: Tensor) -> Tensor:
    """Zero-pad `x` at its ends to the largest channels, height and width of the two."""
    pad: list[int] = []
    for dim in (3, 2, 1):
        pad += [0, max(0, other_NCHW.shape[dim] - x_NCHW.shape[dim])]
    return F.pad(x_NCHW, pad) if any(pad) else x_NCHW


class FaceRecognition(nn.Module, ABC):
    """Face recognition: aligned portraits (N, 3, any, any) in [-1, 1] to embeddings (N, E)."""

    @abstractmethod
    def distance(self, first_NE: Tensor, second_NE: Tensor) -> Tensor:
        """L_ID: distance (N,) between the people of two batches of embeddings."""


class DlibFaceRecognition(FaceRecognition):
    """FFHQ-aligned portraits (N, 3, any, any) in [-1, 1] to embeddings (N, 128).

    Two embeddings within a Euclidean distance of 0.6 belong to the same person, by dlib's measure.
    """

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 7, 2)
        blocks: list[nn.Module] = []
        inputs = 32
        for channels, count, halve in STAGES:
            for index in range(count):
                blocks.append(Block(inputs, channels, halve and index == 0))
                inputs = channels
        self.blocks = nn.Sequential(*blocks)
        self.embed = nn.Linear(inputs, EMBEDDING, bias=False)
        self.register_buffer("mean", torch.tensor(PIXEL_MEAN).view(1, 3, 1, 1), persistent=False)

    def chip(self, image_NCHW: Tensor) -> Tensor:
        """Cut the 150-px face chip out of FFHQ crops; values in [0, 255]."""
        left, top, size = CHIP_BOX
        x, y = 2 * left + size - 1, 2 * top + size - 1
        affine = image_NCHW.new_tensor([[size, 0, x], [0, size, y]])
        shape = [len(image_NCHW), 3, CHIP_PX, CHIP_PX]
        grid = F.affine_grid(affine.expand(len(image_NCHW), 2, 3), shape, align_corners=False)
        source = int(image_NCHW.shape[-1] * size)
        if source > 2 * CHIP_PX:  # bilinear sampling alone would alias
            side = round(CHIP_PX / size)
            image_NCHW = F.adaptive_avg_pool2d(image_NCHW, side)
        chip = F.grid_sample(image_NCHW, grid, align_corners=False, padding_mode="border")
        return (chip + 1) * 127.5

    def embed_chip(self, chip_NCHW: Tensor) -> Tensor:
        """Embeddings (N, 128) of chips in [0, 255]."""
        x = F.max_pool2d(F.relu(self.stem((chip_NCHW - self.mean) / PIXEL_SCALE)), 3, 2)
        embedding: Tensor = self.embed(self.blocks(x).mean((2, 3)))
        return embedding

    def forward(self, image_NCHW: Tensor) -> Tensor:
        return self.embed_chip(self.chip(image_NCHW))

    def distance(self, first_NE: Tensor, second_NE: Tensor) -> Tensor:
        return distance(first_NE, second_NE)


def distance(first_NE: Tensor, second_NE: Tensor) -> Tensor:
    """Euclidean distance (N,) of embeddings: dlib's own measure."""
    result: Tensor = torch.linalg.vector_norm(first_NE - second_NE, dim=-1)
    return result


def similarity(first_NE: Tensor, second_NE: Tensor) -> Tensor:
    """Identity similarity (N,): 1 for equal embeddings, 0.5 where dlib says "same person" at last.

    Linear in the distance; the embeddings share a large mean, so that their cosine says little.
    """
    return 1 - distance(first_NE, second_NE) / (2 * SAME_PERSON_DISTANCE)
