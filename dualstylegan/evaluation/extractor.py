"""Frozen measuring networks, run over images in batches.

Legend of shape suffixes: N image, C channel, H, W, E identity width, P pair, K landmark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dualstylegan.evaluation.bootstrap import Array
from dualstylegan.faces.plausible import LandmarkModel
from dualstylegan.io.images import dequantize
from dualstylegan.networks.masks import Mask, inside, mask_of, within
from dualstylegan.networks.style_embedding import Description, describe, join
from dualstylegan.networks.threads import mapped

Item = TypeVar("Item")
Result = TypeVar("Result")


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
                pairs are compared where both lie inside, by the mean over those positions of each
                feature map.
        """

        def seen(start: int) -> tuple[Description, Sequence[Tensor]]:
            x = self.resize(self._batch(images, start))
            maps = self.perceptual.features(x)
            mask = self._batch_of_mask(mask_N1HW, start)
            return describe(maps, x, mask), maps if pairs else ()

        parts, kept = [], []
        for part, maps in self._map(seen, range(0, len(images), self.batch)):
            parts.append(part)
            if pairs:
                kept += [[m[i : i + 1] for m in maps] for i in range(len(part))]

        def compare(pair: tuple[int, int]) -> Tensor:
            first, second = pair
            both = None if mask_N1HW is None else (mask_N1HW[[first]] & mask_N1HW[[second]])
            own, other = ([inside(m, both) for m in kept[index]] for index in pair)
            return self.perceptual.distance(own, other)

        distances = list(self._map(compare, pairs))
        return join(parts), _array(torch.cat(distances)) if distances else np.zeros(0)

    def identities(self, images: Tensor) -> Array:
        """Compute FaceNet's descriptors (N, E) of uint8 images (N, 3, H, W) at full size."""
        return self._descriptors(self.identity, images)

    def dlib_identities(self, images: Tensor) -> Array:
        """Compute dlib's descriptors (N, E) of uint8 images (N, 3, H, W) at full size."""
        return self._descriptors(self.dlib, images)

    def _descriptors(self, network: IdentityNetwork, images: Tensor) -> Array:
        starts = range(0, len(images), self.batch)
        found = self._map(lambda start: network(self._batch(images, start)), starts)
        return _array(torch.cat(list(found)))

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

        def compare(start: int) -> Tensor:
            a, b = (self.resize(self._batch(images, start)) for images in (first, second))
            mask = mask_of(self._batch_of_mask(mask_N1HW, start), b)
            if mask is None or bool(mask.all()):
                return self._distance(a, b)
            share_N = mask.float().mean((1, 2, 3)).clamp(min=1 / mask[0].numel())
            return self._distance(within(mask, a, b), b) / share_N

        return _array(torch.cat(list(self._map(compare, range(0, len(first), self.batch)))))

    def _distance(self, a_NCHW: Tensor, b_NCHW: Tensor) -> Tensor:
        return self.perceptual.distance(*map(self.perceptual.features, (a_NCHW, b_NCHW)))

    def _batch(self, images: Tensor, start: int) -> Tensor:
        """Return the images from a start on as a float batch in [-1, 1] on the device."""
        return dequantize(images[start : start + self.batch].to(self.device))

    def _batch_of_mask(self, mask_N1HW: Mask, start: int) -> Mask:
        return None if mask_N1HW is None else mask_N1HW[start : start + self.batch].to(self.device)

    def _map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        return mapped(work, items, self.device)


def _array(x: Tensor) -> Array:
    return x.float().cpu().numpy().astype(np.float64)
