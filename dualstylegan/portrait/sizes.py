"""Sizes of images: those of the generator that serve a request, and the centre square."""

from __future__ import annotations

from collections.abc import Collection

from PIL import Image

from dualstylegan.errors import SettingsError


def render_size(offered: Collection[int], size: int) -> int:
    """Return the smallest of the sizes that a model renders which is at least `size` pixels.

    Raises:
        SettingsError: `size` exceeds them all.
    """
    enough = [px for px in offered if px >= size]
    if not enough:
        raise SettingsError(
            "the size exceeds the model's resolution",
            value=f"{size} px",
            limit=f"{max(offered)} px",
            fix="give a smaller size",
        )
    return min(enough)


def centre_square(image: Image.Image) -> Image.Image:
    """Crop the largest square in the middle of an image."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))
