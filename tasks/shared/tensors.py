"""Aligned portraits as tensors, and tensors cached per portrait.

Legend of shape suffixes: N image, C channel, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

from dualstylegan.faces.frame import Array
from dualstylegan.io.files import sha256_file
from dualstylegan.io.images import dequantize, list_images, quantize, read_image
from dualstylegan.networks.masks import Mask, crop_to_tensor, masks_of
from tasks.shared.aligned import read_frames
from tasks.shared.at_once import Tick, at_once
from tasks.shared.caching import cache_key, cached_items
from tasks.shared.paths import Paths
from tasks.shared.progress import Progress

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class PortraitSet:
    """Portraits at the working size.

    Attributes:
        names: of the files without suffix, sorted.
        sha256: digest of each file.
        digests: digest of each file and of the frame of its picture.
        pixels_NCHW: uint8.
        mask_N1HW: of what lies inside of the pictures; None: all.
    """

    names: tuple[str, ...]
    sha256: tuple[str, ...]
    digests: tuple[str, ...]
    pixels_NCHW: Tensor
    mask_N1HW: Mask = None

    def images(self, index: Tensor | Sequence[int]) -> Tensor:
        """Return some of the portraits as float32 (N, 3, H, W) in [-1, 1]."""
        rows = torch.as_tensor(index, dtype=torch.long).to(self.pixels_NCHW.device)
        return dequantize(self.pixels_NCHW[rows])

    def masks(self, index: Tensor | Sequence[int]) -> Mask:
        """Return the masks (N, 1, H, W) of some of the portraits; None: all is inside."""
        if self.mask_N1HW is None:
            return None
        return self.mask_N1HW[torch.as_tensor(index, dtype=torch.long).to(self.mask_N1HW.device)]

    def to(self, device: torch.device) -> PortraitSet:
        """Return the set with its pixels and masks on a device."""
        mask = None if self.mask_N1HW is None else self.mask_N1HW.to(device)
        return replace(self, pixels_NCHW=self.pixels_NCHW.to(device), mask_N1HW=mask)


def read_portraits(folder: Path, size: int) -> PortraitSet:
    """Read every portrait of a folder, reduced to `size` pixels, and what lies in its picture.

    Raises:
        DataError: the folder or its frames are missing or empty; ImageError: a file is no image.
    """
    paths = list_images(folder)
    frames = list(read_frames(folder, [path.stem for path in paths]).values())
    pixels = [
        quantize(crop_to_tensor(read_image(path), frame, size))
        for path, frame in zip(paths, frames, strict=True)
    ]
    hashes = [sha256_file(path) for path in paths]
    digests = [framed_digest(*pair) for pair in zip(hashes, frames, strict=True)]
    return PortraitSet(
        tuple(path.stem for path in paths),
        tuple(hashes),
        tuple(digests),
        torch.stack(pixels),
        masks_of(frames, size),
    )


def framed_digest(sha256: str, frame_Q2: Array | None) -> str:
    """Return the digest of a file and of the frame in it; the file's own if all is inside."""
    return sha256 if frame_Q2 is None else cache_key(sha256, frame_Q2.tolist())


def cached_tensors(
    stage: str,
    keys: Sequence[str],
    batch: int,
    steps: int,
    work: Callable[[list[int], Tick], Tensors],
    together: int = 1,
) -> Tensors:
    """Return the tensors of every portrait, computed batch by batch where they are not cached.

    Args:
        stage: names the folder under data/cache.
        keys: see `tasks.shared.caching.cache_key`; one per portrait.
        batch: portraits per call of `work`.
        steps: that `work` takes for a batch, for the progress.
        work: from indices, and a function to call with the steps done, to tensors whose first
            dimension is the batch; called in several threads if batches are computed at once.
        together: batches computed at once, see `tasks.shared.at_once`.

    Returns:
        Tensors of all portraits by name, in the order of the keys, on the CPU.
    """

    def compute(indices: list[int]) -> Iterator[tuple[int, Tensors]]:
        batches = [indices[i : i + batch] for i in range(0, len(indices), batch)]
        shown = Progress(stage, len(batches) * steps)

        def progress(done: int) -> None:
            shown(done, f"of {len(indices)} portraits")

        for part, tensors in at_once(work, batches, progress, together):
            for row, index in enumerate(part):
                yield index, {k: v[row].cpu().contiguous() for k, v in tensors.items()}
        shown(len(batches) * steps)

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
