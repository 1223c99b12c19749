"""Sizes of images: those of the generator that serve a request, and the centre square."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

from dualstylegan.errors import SettingsError

if TYPE_CHECKING:
    from dualstylegan.networks.generator import Generator


def render_size(generator: Generator, size: int) -> int:
    """Return the smallest size of the generator that is at least `size` pixels.

    Raises:
        SettingsError: `size` exceeds the generator's resolution.
    """
    enough = [px for px in generator.output_sizes if px >= size]
    if not enough:
        raise SettingsError(
            "the size exceeds the model's resolution",
            value=f"{size} px",
            limit=f"{max(generator.output_sizes)} px",
        )
    return min(enough)


def centre_square(image: Image.Image) -> Image.Image:
    """Crop the largest square in the middle of an image."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))
