"""Aligned portraits as tensors, and tensors kept portrait by portrait, for the stages on them.

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
from tasks.shared.paths import Paths
from tasks.shared.runner import Progress, cached_items

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
        """Some of the portraits as float32 in [-1, 1]."""
        chosen = torch.as_tensor(index, dtype=torch.long).to(self.pixels_NCHW.device)
        return dequantize(self.pixels_NCHW[chosen])

    def to(self, device: torch.device) -> PortraitSet:
        """The set with its pixels on a device."""
        return PortraitSet(self.names, self.sha256, self.pixels_NCHW.to(device))


def read_portraits(folder: Path, size: int) -> PortraitSet:
    """Every portrait of a folder, reduced to `size` pixels.

    Raises:
        DataError: the folder is missing or empty; ImageError: a file is no image.
    """
    paths = list_images(folder)
    pixels = [quantize(image_to_tensor(read_image(path), size)) for path in paths]
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    return PortraitSet(tuple(p.stem for p in paths), tuple(digests), torch.stack(pixels))


def keep_tensors(
    stage: str,
    keys: Sequence[str],
    batch: int,
    steps: int,
    work: Callable[[list[int], Tick], Tensors],
) -> Tensors:
    """Tensors of every portrait, made batch by batch where they are not kept yet.

    Args:
        stage: names the folder under data/cache.
        keys: see `tasks.shared.runner.item_key`; one a portrait.
        batch: portraits at once.
        steps: that `work` takes for a batch, for the progress shown.
        work: from indices, and whom to tell how many steps are done, to tensors whose first
            dimension is the batch.

    Returns:
        The tensors of all portraits, in the order of the keys, on the CPU.
    """

    def missing(indices: list[int]) -> Iterator[tuple[int, Tensors]]:
        parts = [indices[i : i + batch] for i in range(0, len(indices), batch)]
        progress = Progress(f"{stage}: steps of {len(indices)} portraits", len(parts) * steps)
        for done, part in enumerate(parts):
            before = done * steps
            found = work(part, lambda step, before=before: progress(before + step))  # type: ignore[misc]
            for place_, index in enumerate(part):
                yield index, {k: v[place_].cpu().contiguous() for k, v in found.items()}
        progress(len(parts) * steps)

    kept = cached_items(Paths.cache / stage, keys, missing, dump=save, parse=load)
    # sorted: safetensors gives the names in an order that changes from process to process
    return {name: torch.stack([item[name] for item in kept]) for name in sorted(kept[0])}


def losses(found: Tensors) -> dict[str, list[float]]:
    """What was measured of each portrait: the vectors among kept tensors, by name."""
    return {
        name: np.asarray(values, np.float64).tolist()
        for name, values in found.items()
        if values.ndim == 1
    }
