"""Recipes of the demo's exemplars: a character, a palette and a brush, for any face."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from dualstylegan.errors import FaceError
from dualstylegan.faces.detect import largest_face
from dualstylegan.faces.landmarks import landmarks68
from dualstylegan.io.images import image_to_tensor, tensor_to_image
from dualstylegan.pretraining.painting.paint import Brush, Painter, Palette
from dualstylegan.pretraining.painting.warp import Character, exaggerate

# Side of the images that are painted; the style network's strokes have a width in pixels.
PIXELS = 512
# Increase when warps or painting change, so that cached images are made again.
VERSION = 3
# Encoders are trained on seeds from 1,000,000 upwards, so these faces are new to every network.
STYLE_SEEDS = 1000
# Seeds tried per face; faces that are no clean portrait are skipped.
MAX_TRIES = 8
# Shares of the exaggeration, tried in order until the detector finds the face.
STRENGTH_SHARES = (1.0, 0.8, 0.6)

CHARACTERS = {
    "sprite": Character(
        eyes=1.58, nose=0.80, mouth=0.9, jaw=0.62, cheeks=0.96, head=1.16, chin=-0.04, brows=0.08
    ),
    "baron": Character(
        eyes=0.92, nose=1.36, mouth=1.15, jaw=1.60, cheeks=1.08, head=0.80, chin=0.24, brows=-0.05
    ),
    "moon": Character(
        eyes=1.34, nose=0.86, mouth=1.28, jaw=1.30, cheeks=1.34, chin=-0.16, brows=0.1, smile=0.07
    ),
}
PALETTES = {
    "sunset": Palette(
        ("2a1030", "8c2f39", "e06c4b", "f6b26b", "fff0d0"),
        ("2a1030", "2b4a6f", "2f8f9d", "8fd0c0", "f3efd2"),
    ),
    "lagoon": Palette(
        ("0b1f3a", "1f4e79", "c27a5a", "f2c29b", "fff4e0"),
        ("0b1f3a", "124e66", "1f9e8f", "7fd6b5", "f6f7d8"),
    ),
    "orchid": Palette(
        ("241242", "6a2c70", "d4627f", "f4ae9c", "ffeede"),
        ("241242", "3f2b7a", "6d5bd0", "a9b4f0", "f0e9ff"),
    ),
    "forest": Palette(
        ("10231b", "4a3b1f", "b5713a", "eec07a", "fff3cf"),
        ("10231b", "1f5a3c", "5f9e4b", "c4cf6a", "faf3c8"),
    ),
}
BRUSHES = {
    "gouache": Brush(radius=0.012, flow=0.008, tones=5, ink=0.9),
    "pastel": Brush(radius=0.010, flow=0.020, strokes=0.5, style=19, ink=0.4),
}


@dataclass(frozen=True)
class Recipe:
    """Recipe of an exemplar: a face, a character, a palette and a brush, by their names above."""

    seed: int
    character: str
    palette: str
    brush: str
    strength: float

    @property
    def name(self) -> str:
        """File name without suffix."""
        return f"{self.palette}_{self.character}_{self.brush}"

    def facts(self) -> list[Any]:
        """Return everything that a painting depends on, except face and weights."""
        tables = (CHARACTERS[self.character], PALETTES[self.palette], BRUSHES[self.brush])
        return [VERSION, asdict(self), *(asdict(table) for table in tables)]


def recipes(count: int | None = None) -> list[Recipe]:
    """Return the style set: every combination of palette, character and brush, each on a new face.

    Args:
        count: number of recipes; None returns all. Palettes vary fastest, so that small sets are
            varied, too.
    """
    made = []
    for i, (brush, character, palette) in enumerate(product(BRUSHES, CHARACTERS, PALETTES)):
        rng = np.random.default_rng(STYLE_SEEDS + i)
        strength = float(np.round(rng.uniform(0.85, 1.15), 3))
        made.append(Recipe(STYLE_SEEDS + i * MAX_TRIES, character, palette, brush, strength))
    return made if count is None else made[:count]


def paint_face(
    image: Image.Image,
    landmarks_K2: NDArray[np.float64],
    recipe: Recipe,
    strength: float,
    painter: Painter,
    weights_dir: Path | str,
) -> Image.Image:
    """Exaggerate and paint a face by a recipe.

    Args:
        image: PIXELS square.
        landmarks_K2: its 68 landmarks in pixels.
        recipe: character, palette and brush.
        strength: of the exaggeration.
        painter: with the style network.
        weights_dir: folder of the detector and the landmark model.

    Raises:
        FaceError: the detector finds no face in the exaggerated image.
    """
    character = CHARACTERS[recipe.character].stretched(strength)
    warped_CHW = exaggerate(image_to_tensor(image), landmarks_K2, character)
    picture = tensor_to_image(warped_CHW)
    face = largest_face(picture, weights_dir)
    moved_K2 = torch.from_numpy(landmarks68(picture, face, weights_dir)).float()
    painted_CHW = painter.paint(
        warped_CHW.add(1).div(2), moved_K2, PALETTES[recipe.palette], BRUSHES[recipe.brush]
    )
    return tensor_to_image(painted_CHW.mul(2).sub(1))


def strongest(recipe: Recipe, paint: Callable[[float], Image.Image]) -> tuple[Image.Image, float]:
    """Return the painting of the largest share of a recipe's strength that works, and its strength.

    Args:
        recipe: with its strength.
        paint: paints at a strength, or raises FaceError.

    Raises:
        FaceError: no strength works.
    """
    for strength in (recipe.strength * share for share in STRENGTH_SHARES):
        try:
            return paint(strength), round(strength, 3)
        except FaceError:
            continue
    raise FaceError("no face found in a painted face", value=recipe.name, fix="exaggerate less")
