"""Aligned portraits and the frames of their pictures, read by name.

Legend of shape suffixes: Q corner of a frame, 2 x and y.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from dualstylegan.errors import DataError
from dualstylegan.faces.frame import Array
from dualstylegan.io.images import list_images, read_image
from tasks.shared.dataframes import read_dataframe
from tasks.shared.paths import KINDS, Paths

# Column of the manifest: the corners of the picture in its crop, x and y in turn; empty if the
# picture covers the crop.
FRAME = "frame"
Frames = dict[str, Array | None]


def read_frames(folder: Path, names: Sequence[str]) -> Frames:
    """Read the frames (4, 2) of the pictures in a folder's aligned portraits, by name.

    Args:
        folder: of one kind of portraits, beside the manifest.
        names: of the portraits.

    Raises:
        DataError: the manifest is missing, was written before frames were, or lacks a portrait.
    """
    path = folder.parent / Paths.manifest.name
    fix = "run the stage align"
    table = read_dataframe(path)
    if FRAME not in table:
        raise DataError("the record of the alignment has no frames", file=path, fix=fix)
    style, content = KINDS
    own = table[table["kind"] == (content if folder.name == Paths.faces.name else style)]
    by_name = dict(zip(own["name"], own[FRAME], strict=True))
    missing = [name for name in names if name not in by_name]
    if missing:
        raise DataError(
            "aligned portraits are not in the record of the alignment",
            file=path,
            value=", ".join(missing[:5]),
            fix=fix,
        )
    return {
        name: np.reshape(by_name[name], (4, 2)) if len(by_name[name]) else None for name in names
    }


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
