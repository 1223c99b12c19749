"""Aligned portraits as tensors, and tensors cached per portrait.

Legend of shape suffixes: N image, C channel, H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

from dualstylegan.errors import DataError
from dualstylegan.faces.frame import Array
from dualstylegan.io.files import sha256_file
from dualstylegan.io.images import dequantize, list_images, quantize, read_image
from dualstylegan.networks.masks import Mask, crop_to_tensor, masks_of
from tasks.shared.aligned import read_frames
from tasks.shared.caching import Entry, cache_key

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


def read_portraits(folder: Path, size: int, names: Sequence[str] | None = None) -> PortraitSet:
    """Read portraits of a folder, reduced to `size` pixels, and what lies in their pictures.

    Args:
        folder: of the portraits.
        size: in pixels.
        names: of the portraits; None: all.

    Raises:
        DataError: the folder or its frames are missing or empty; ImageError: a file is no image.
    """
    paths = _portrait_paths(folder, names)
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


def portrait_names(folder: Path) -> list[str]:
    """Return the names of a folder's portraits, sorted."""
    return [path.stem for path in list_images(folder)]


def file_digests(folder: Path, names: Sequence[str]) -> tuple[str, ...]:
    """Return the digests of portraits' files."""
    return tuple(sha256_file(path) for path in _portrait_paths(folder, names))


def portrait_digests(folder: Path, names: Sequence[str]) -> list[str]:
    """Return the digests of portraits and of the frames of their pictures, see `PortraitSet`."""
    frames = read_frames(folder, names).values()
    return [framed_digest(*pair) for pair in zip(file_digests(folder, names), frames, strict=True)]


def _portrait_paths(folder: Path, names: Sequence[str] | None) -> list[Path]:
    """Return the paths of a folder's portraits, of all of them or of those of the names."""
    paths = {path.stem: path for path in list_images(folder)}
    names = list(paths) if names is None else names
    missing = [name for name in names if name not in paths]
    if missing:
        raise DataError(
            "portraits are missing", file=folder, value=", ".join(missing[:5]), fix="run align"
        )
    return [paths[name] for name in names]


def framed_digest(sha256: str, frame_Q2: Array | None) -> str:
    """Return the digest of a file and of the frame in it; the file's own if all is inside."""
    return sha256 if frame_Q2 is None else cache_key(sha256, frame_Q2.tolist())


def tensor_entries(tensors: Tensors) -> list[Entry]:
    """Return the entries of a batch from tensors whose first dimension is the batch."""
    rows = zip(*(column.cpu() for column in tensors.values()), strict=True)
    return [
        Entry(save({k: v.contiguous() for k, v in zip(tensors, row, strict=True)}), {})
        for row in rows
    ]


def stack_entries(entries: Iterable[Entry]) -> Tensors:
    """Return the tensors of all portraits by name, in the order of their entries."""
    items = [load(entry.data) for entry in entries if entry.data is not None]
    # sorted: safetensors returns the names in an order that differs between processes
    return {name: torch.stack([item[name] for item in items]) for name in sorted(items[0])}


def loss_columns(tensors: Tensors) -> dict[str, list[float]]:
    """Return the vectors among tensors, one loss per portrait each, as columns by name."""
    return {
        name: np.asarray(values, np.float64).tolist()
        for name, values in tensors.items()
        if values.ndim == 1
    }
