"""Runs the frozen measuring networks over pictures, in batches, once a picture.

Legend of shape suffixes: N picture, C channel, H, W, E identity width, P pair, K landmark.
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
from dualstylegan.networks.style_embedding import Description, describe, join


class Perceptual(Protocol):
    """What is asked of LPIPS: its VGG16 feature maps and the distance on top of them."""

    def features(self, x: Tensor) -> Sequence[Tensor]: ...

    def distance(self, a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor: ...


class Identity(Protocol):
    """What is asked of the identity network: aligned faces to descriptors (N, E)."""

    def __call__(self, x: Tensor) -> Tensor: ...


class Landmarks(Protocol):
    """What is asked of the landmark model: a uint8 picture (3, H, W) to 68 landmarks (68, 2).

    NaN where there is no plausible face.
    """

    def __call__(self, picture_CHW: Tensor, /) -> Array: ...


@dataclass(frozen=True)
class Probe:
    """The measuring networks with the size they look at.

    Attributes:
        size: pixels to which pictures are brought for VGG16; a quarter of the pixels costs a
            quarter of the time. The identity network and the landmark model see the full picture.
        batch: pictures at once.
    """

    perceptual: Perceptual
    identity: Identity
    landmarks: Landmarks
    size: int
    batch: int
    device: torch.device

    def batches(self, pictures: Tensor) -> Iterator[Tensor]:
        """uint8 pictures (N, 3, H, W) as float batches in [-1, 1] on the device."""
        for start in range(0, len(pictures), self.batch):
            yield from_bytes(pictures[start : start + self.batch].to(self.device))

    def shrink(self, x_NCHW: Tensor) -> Tensor:
        """Bring pictures to the measuring size."""
        if x_NCHW.shape[-1] == self.size:
            return x_NCHW
        return F.interpolate(x_NCHW, (self.size, self.size), mode="bilinear", antialias=True)

    def look(
        self, pictures: Tensor, pairs: Sequence[tuple[int, int]] = ()
    ) -> tuple[Description, Array]:
        """Describe uint8 pictures (N, 3, H, W), and LPIPS (P,) between pairs of them.

        Each picture passes VGG16 once; with pairs, all N feature pyramids are held (8 MB a
        picture at 128 px).
        """
        parts: list[Description] = []
        cached: list[list[Tensor]] = []
        for x in self.batches(pictures):
            small = self.shrink(x)
            maps = self.perceptual.features(small)
            parts.append(describe(maps, small))
            if pairs:
                cached += [[level[i : i + 1] for level in maps] for i in range(len(x))]
        found = [self.perceptual.distance(cached[a], cached[b]) for a, b in pairs]
        return join(parts), _array(torch.cat(found)) if found else np.zeros(0)

    def identities(self, pictures: Tensor) -> Array:
        """Face descriptors (N, E) of uint8 pictures (N, 3, H, W), at their full size."""
        return _array(torch.cat([self.identity(x) for x in self.batches(pictures)]))

    def shapes(self, pictures: Tensor) -> Array:
        """Landmarks (N, K, 2) of uint8 pictures (N, 3, H, W), at their full size.

        Detector and landmark model take one core each, so that pictures go side by side.
        """
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            return np.stack(list(pool.map(self.landmarks, pictures)))

    def distances(self, first: Tensor, second: Tensor) -> Array:
        """LPIPS of N pairs of uint8 pictures, (N,)."""
        found = []
        for a, b in zip(self.batches(first), self.batches(second), strict=True):
            features_a = self.perceptual.features(self.shrink(a))
            features_b = self.perceptual.features(self.shrink(b))
            found.append(self.perceptual.distance(features_a, features_b))
        return _array(torch.cat(found))


def to_bytes(x_NCHW: Tensor) -> Tensor:
    """Pictures in [-1, 1] as uint8, clipped, on the CPU."""
    return (x_NCHW.float() * 127.5 + 128).clamp(0, 255).to(torch.uint8).cpu()


def from_bytes(pictures: Tensor) -> Tensor:
    """uint8 pictures as float in [-1, 1]."""
    return pictures.float() / 127.5 - 1


def ring_pairs(count: int, wanted: int, seed: int) -> list[tuple[int, int]]:
    """`wanted` pairs of `count` things: all, or rings in which each appears equally often."""
    every = [(a, b) for a in range(count) for b in range(a + 1, count)]
    if wanted >= len(every):
        return every
    order = np.random.default_rng(seed).permutation(count)
    pairs = []
    for step in range(1, count // 2 + 1):
        for place in range(count):
            a, b = order[place], order[(place + step) % count]
            pair = (int(min(a, b)), int(max(a, b)))
            if pair not in pairs:
                pairs.append(pair)
            if len(pairs) == wanted:
                return pairs
    return pairs


def _array(x: Tensor) -> Array:
    return x.float().cpu().numpy().astype(np.float64)
