"""Aligned portraits as tensors, and tensors cached per portrait.

Legend of shape suffixes: N image, C channel, H height, W width.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

from dualstylegan.io.images import (
    dequantize,
    image_to_tensor,
    list_images,
    quantize,
    read_image,
)
from tasks.shared.caching import cached_items
from tasks.shared.paths import Paths
from tasks.shared.progress import Progress

Tensors = dict[str, Tensor]
Tick = Callable[[int], None]


@dataclass(frozen=True)
class PortraitSet:
    """Portraits at the working size.

    Attributes:
        names: of the files without suffix, sorted.
        sha256: digest of each file.
        pixels_NCHW: uint8.
    """

    names: tuple[str, ...]
    sha256: tuple[str, ...]
    pixels_NCHW: Tensor

    def images(self, index: Tensor | Sequence[int]) -> Tensor:
        """Return some of the portraits as float32 (N, 3, H, W) in [-1, 1]."""
        rows = torch.as_tensor(index, dtype=torch.long).to(self.pixels_NCHW.device)
        return dequantize(self.pixels_NCHW[rows])

    def to(self, device: torch.device) -> PortraitSet:
        """Return the set with its pixels on a device."""
        return PortraitSet(self.names, self.sha256, self.pixels_NCHW.to(device))


def read_portraits(folder: Path, size: int) -> PortraitSet:
    """Read every portrait of a folder, reduced to `size` pixels.

    Raises:
        DataError: the folder is missing or empty; ImageError: a file is no image.
    """
    paths = list_images(folder)
    pixels = [quantize(image_to_tensor(read_image(path), size)) for path in paths]
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    return PortraitSet(tuple(p.stem for p in paths), tuple(digests), torch.stack(pixels))


def cached_tensors(
    stage: str,
    keys: Sequence[str],
    batch: int,
    steps: int,
    work: Callable[[list[int], Tick], Tensors],
) -> Tensors:
    """Return the tensors of every portrait, computed batch by batch where they are not cached.

    Args:
        stage: names the folder under data/cache.
        keys: see `tasks.shared.caching.cache_key`; one per portrait.
        batch: portraits per call of `work`.
        steps: that `work` takes for a batch, for the progress.
        work: from indices, and a function to call with the steps done, to tensors whose first
            dimension is the batch.

    Returns:
        Tensors of all portraits by name, in the order of the keys, on the CPU.
    """

    def compute(indices: list[int]) -> Iterator[tuple[int, Tensors]]:
        batches = [indices[i : i + batch] for i in range(0, len(indices), batch)]
        progress = Progress(stage, len(batches) * steps)
        for number, part in enumerate(batches):

            def tick(done: int, before: int = number * steps) -> None:
                progress(before + done, f"of {len(indices)} portraits")

            tensors = work(part, tick)
            for row, index in enumerate(part):
                yield index, {k: v[row].cpu().contiguous() for k, v in tensors.items()}
        progress(len(batches) * steps)

    items = cached_items(Paths.cache / stage, keys, compute, dump=save, parse=load)
    # sorted: safetensors returns the names in an order that differs between processes
    return {name: torch.stack([item[name] for item in items]) for name in sorted(items[0])}


def loss_columns(tensors: Tensors) -> dict[str, list[float]]:
    """Return the vectors among tensors, one loss per portrait each, as columns by name."""
    return {
        name: np.asarray(values, np.float64).tolist()
        for name, values in tensors.items()
        if values.ndim == 1
    }
