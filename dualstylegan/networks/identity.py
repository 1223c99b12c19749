"""Face recognition: interface, and dlib's ResNet (King, 2017; CC0) on FFHQ-aligned portraits.

Legend of shape suffixes: N image, C channel, H height, W width, E embedding.

dlib's network expects a 150-px chip cut by its own landmarks. In FFHQ crops the face lies in a
fixed position, so that one fixed, differentiable affine map cuts the chip.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CHIP_PX = 150
EMBEDDING_DIM = 128
# Per stage: channels, number of blocks, True if the first block halves the size.
STAGES = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))
PIXEL_MEAN = (122.782, 117.001, 104.298)
PIXEL_SCALE = 256.0
SAME_PERSON_DISTANCE = 0.6
# Left, top and size of the chip in an FFHQ crop, as fractions of its side: medians over generated
# faces. Embeddings lie within a distance of 0.16 of those of dlib's own chips.
CHIP_BOX = (0.160, 0.255, 0.700)


class DlibBlock(nn.Module):
    """Residual block: two convolutions; the skip is average-pooled and zero-padded to fit."""

    def __init__(self, inputs: int, outputs: int, halve: bool) -> None:
        super().__init__()
        self.halve = halve
        # dlib does not pad a convolution of stride 2.
        self.first = nn.Conv2d(inputs, outputs, 3, 2 if halve else 1, 0 if halve else 1)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(F.relu(self.first(x)))
        skip = F.avg_pool2d(x, 2, 2) if self.halve else x
        return F.relu(pad_to(y, skip) + pad_to(skip, y))


def pad_to(x_NCHW: Tensor, other_NCHW: Tensor) -> Tensor:
    """Zero-pad `x` at the end of C, H and W to the maximum of both tensors."""
    pad: list[int] = []
    for dim in (3, 2, 1):
        pad += [0, max(0, other_NCHW.shape[dim] - x_NCHW.shape[dim])]
    return F.pad(x_NCHW, pad) if any(pad) else x_NCHW


class FaceRecognition(nn.Module, ABC):
    """Interface of face recognition: aligned portraits (N, 3, any, any) in [-1, 1] to (N, E)."""

    @abstractmethod
    def distance(self, first_NE: Tensor, second_NE: Tensor) -> Tensor:
        """Compute L_ID: the distance (N,) between the identities of two batches of embeddings."""


class DlibFaceRecognition(FaceRecognition):
    """dlib's ResNet: FFHQ-aligned portraits (N, 3, any, any) in [-1, 1] to embeddings (N, 128).

    By dlib's threshold, embeddings within a Euclidean distance of 0.6 are one identity.
    """

    mean: Tensor
    affine: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 7, 2)
        blocks: list[nn.Module] = []
        inputs = 32
        for channels, count, halve in STAGES:
            for index in range(count):
                blocks.append(DlibBlock(inputs, channels, halve and index == 0))
                inputs = channels
        self.blocks = nn.Sequential(*blocks)
        self.embed = nn.Linear(inputs, EMBEDDING_DIM, bias=False)
        self.register_buffer("mean", torch.tensor(PIXEL_MEAN).view(1, 3, 1, 1), persistent=False)
        # a buffer: a tensor made of numbers in each call could not be captured in a CUDA graph
        left, top, size = CHIP_BOX
        affine = torch.tensor([[size, 0, 2 * left + size - 1], [0, size, 2 * top + size - 1]])
        self.register_buffer("affine", affine, persistent=False)

    def chip(self, image_NCHW: Tensor) -> Tensor:
        """Cut face chips (N, 3, 150, 150) in [0, 255] out of FFHQ crops in [-1, 1]."""
        size, affine = CHIP_BOX[2], self.affine.to(image_NCHW.dtype)
        shape = [len(image_NCHW), 3, CHIP_PX, CHIP_PX]
        grid = F.affine_grid(affine.expand(len(image_NCHW), 2, 3), shape, align_corners=False)
        source = int(image_NCHW.shape[-1] * size)
        if source > 2 * CHIP_PX:  # bilinear sampling alone would alias
            side = round(CHIP_PX / size)
            image_NCHW = F.adaptive_avg_pool2d(image_NCHW, side)
        chip = F.grid_sample(image_NCHW, grid, align_corners=False, padding_mode="border")
        return (chip + 1) * 127.5

    def embed_chip(self, chip_NCHW: Tensor) -> Tensor:
        """Compute embeddings (N, 128) of chips (N, 3, 150, 150) in [0, 255]."""
        x = F.max_pool2d(F.relu(self.stem((chip_NCHW - self.mean) / PIXEL_SCALE)), 3, 2)
        embedding: Tensor = self.embed(self.blocks(x).mean((2, 3)))
        return embedding

    def forward(self, image_NCHW: Tensor) -> Tensor:
        return self.embed_chip(self.chip(image_NCHW))

    def distance(self, first_NE: Tensor, second_NE: Tensor) -> Tensor:
        return distance(first_NE, second_NE)


def distance(first_NE: Tensor, second_NE: Tensor) -> Tensor:
    """Compute the Euclidean distance (N,) of embeddings, dlib's measure."""
    result: Tensor = torch.linalg.vector_norm(first_NE - second_NE, dim=-1)
    return result


def similarity(first_NE: Tensor, second_NE: Tensor) -> Tensor:
    """Compute the identity similarity (N,): 1 for equal embeddings, 0.5 at dlib's threshold.

    Linear in the distance: the embeddings share a large mean, which makes their cosine useless.
    """
    return 1 - distance(first_NE, second_NE) / (2 * SAME_PERSON_DISTANCE)
