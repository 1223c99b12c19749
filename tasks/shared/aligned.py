"""Aligned portraits, read by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from dualstylegan.errors import DataError
from dualstylegan.io.images import list_images, read_image


def read_aligned(folder: Path, names: Sequence[str] | None = None) -> list[tuple[str, Image.Image]]:
    """Read the aligned portraits of a folder, with their names (file names without suffix).

    Args:
        folder: of one kind of portraits.
        names: in the order wanted; None reads all, sorted.

    Raises:
        DataError: the folder is missing or empty, or has no portrait of a name.
        ImageError: a file is damaged.
    """
    paths = {path.stem: path for path in list_images(folder)}
    names = sorted(paths) if names is None else names
    missing = [name for name in names if name not in paths]
    if missing:
        raise DataError(
            "aligned portraits are missing",
            file=folder,
            value=", ".join(missing[:5]),
            fix="run the stage align, then package",
        )
    return [(name, read_image(paths[name])) for name in names]
