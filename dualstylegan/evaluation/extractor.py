"""Frozen measuring networks, run over images in batches.

Legend of shape suffixes: N image, C channel, H, W, E identity width, P pair, K landmark.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dualstylegan.evaluation.bootstrap import Array
from dualstylegan.faces.plausible import LandmarkModel
from dualstylegan.io.images import dequantize
from dualstylegan.networks.masks import Mask, mask_of, within
from dualstylegan.networks.style_embedding import Description, describe, join


class PerceptualMetric(Protocol):
    """Interface of LPIPS: VGG16 feature maps, and the distance of two sets of them."""

    def features(self, x: Tensor) -> Sequence[Tensor]: ...

    def distance(self, a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor: ...


class IdentityNetwork(Protocol):
    """Interface of an identity network: aligned faces (N, 3, H, W) to descriptors (N, E)."""

    def __call__(self, x: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class FeatureExtractor:
    """Measuring networks with their working size.

    Attributes:
        identity: FaceNet, which no training uses; its descriptors have unit length.
        dlib: dlib's recognition network, which training optimises.
        size: pixels to which images are resized for VGG16; a quarter of the pixels takes a
            quarter of the time. Identity networks and the landmark model see the full image.
        batch: images per forward pass.
        device: of the networks.
    """

    perceptual: PerceptualMetric
    identity: IdentityNetwork
    dlib: IdentityNetwork
    landmarks: LandmarkModel
    size: int
    batch: int
    device: torch.device

    def batches(self, images: Tensor) -> Iterator[Tensor]:
        """Yield uint8 images (N, 3, H, W) as float batches in [-1, 1] on the device."""
        for start in range(0, len(images), self.batch):
            yield dequantize(images[start : start + self.batch].to(self.device))

    def resize(self, x_NCHW: Tensor) -> Tensor:
        """Resize images to the working size."""
        if x_NCHW.shape[-1] == self.size:
            return x_NCHW
        return F.interpolate(x_NCHW, (self.size, self.size), mode="bilinear", antialias=True)

    def describe(
        self,
        images: Tensor,
        pairs: Sequence[tuple[int, int]] = (),
        mask_N1HW: Mask = None,
    ) -> tuple[Description, Array]:
        """Compute style descriptors of uint8 images (N, 3, H, W), and LPIPS (P,) of pairs of them.

        Each image passes through VGG16 once. With pairs, the feature maps of all N images are held
        in memory (8 MB per image at 128 px).

        Args:
            images: uint8 (N, 3, H, W).
            pairs: indices of two images each.
            mask_N1HW: of what lies inside of the images' pictures; nothing else is described, and
                pairs are compared where both lie inside, for which VGG16 runs anew.
        """
        parts: list[Description] = []
        cached: list[list[Tensor]] = []
        for start, x in zip(range(0, len(images), self.batch), self.batches(images), strict=True):
            small = self.resize(x)
            maps = self.perceptual.features(small)
            mask = None if mask_N1HW is None else mask_N1HW[start : start + len(x)].to(x.device)
            parts.append(describe(maps, small, mask))
            if pairs and mask_N1HW is None:
                cached += [[level[i : i + 1] for level in maps] for i in range(len(x))]
        if pairs and mask_N1HW is not None:
            first, second = (list(column) for column in zip(*pairs, strict=True))
            both = mask_N1HW[first] & mask_N1HW[second]
            return join(parts), self.lpips(images[first], images[second], both)
        distances = [self.perceptual.distance(cached[a], cached[b]) for a, b in pairs]
        return join(parts), _array(torch.cat(distances)) if distances else np.zeros(0)

    def identities(self, images: Tensor) -> Array:
        """Compute FaceNet's descriptors (N, E) of uint8 images (N, 3, H, W) at full size."""
        return self._descriptors(self.identity, images)

    def dlib_identities(self, images: Tensor) -> Array:
        """Compute dlib's descriptors (N, E) of uint8 images (N, 3, H, W) at full size."""
        return self._descriptors(self.dlib, images)

    def _descriptors(self, network: IdentityNetwork, images: Tensor) -> Array:
        return _array(torch.cat([network(x) for x in self.batches(images)]))

    def landmark_tables(self, images: Tensor) -> Array:
        """Detect landmarks (N, K, 2) in pixels in uint8 images (N, 3, H, W) at full size.

        Detector and landmark model use one core per image, so images are processed in parallel.
        """
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            return np.stack(list(pool.map(self.landmarks, images)))

    def lpips(self, first: Tensor, second: Tensor, mask_N1HW: Mask = None) -> Array:
        """Compute LPIPS (N,) of N pairs of uint8 images (N, 3, H, W).

        With a mask of the second ones' pictures, the first ones take their surroundings, and the
        distance is divided by the share of the image that lies inside.
        """
        distances = []
        starts = range(0, len(first), self.batch)
        for start, a, b in zip(starts, self.batches(first), self.batches(second), strict=True):
            small_a, small_b = self.resize(a), self.resize(b)
            mask = None if mask_N1HW is None else mask_N1HW[start : start + len(a)].to(a.device)
            mask = mask_of(mask, small_b)
            features_a = self.perceptual.features(within(mask, small_a, small_b))
            distance = self.perceptual.distance(features_a, self.perceptual.features(small_b))
            if mask is not None:
                distance = distance / mask.float().mean((1, 2, 3)).clamp(min=1 / mask[0].numel())
            distances.append(distance)
        return _array(torch.cat(distances))


def _array(x: Tensor) -> Array:
    return x.float().cpu().numpy().astype(np.float64)
