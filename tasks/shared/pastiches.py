"""Files of a set's pastiches: ideal results, a content face in a style; a user's set has none."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from dualstylegan.io.images import list_images, read_image
from tasks.shared.paths import Paths

Pair = tuple[str, str]


def pastiche_file(content: str, style: str) -> Path:
    """Return the path of a face's ideal result in a style, relative to its folder."""
    return Path(content) / f"{style}.png"


def read_pastiches() -> dict[Pair, Image.Image]:
    """Read the set's ideal results by the names of face and style; empty for a user's exemplars."""
    faces = sorted(path for path in Paths.pastiches.iterdir() if path.is_dir())
    paths = [path for face in faces for path in list_images(face)]
    return {(path.parent.name, path.stem): read_image(path) for path in paths}
