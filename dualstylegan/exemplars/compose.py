"""The demo's portraits: which face becomes which character, in which palette, by which brush."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from dualstylegan.checkpoints import fill, load_tensors
from dualstylegan.errors import FaceError
from dualstylegan.exemplars.paint import Brush, Painter, Palette
from dualstylegan.exemplars.warp import Character, exaggerate
from dualstylegan.faces.detect import largest_face
from dualstylegan.faces.landmarks import landmarks68
from dualstylegan.images import image_to_tensor, tensor_to_image
from dualstylegan.models import GENERATOR_FILE, frozen
from dualstylegan.networks.generator import Generator
from dualstylegan.networks.mobilestylegan import MobileStyleGAN

PIXELS = 512
# Encoders are trained on seeds from 1,000,000 upwards: these faces are new to every network.
STYLE_SEEDS = 1000
CONTENT_SEEDS = 5000
TRUNCATION = 0.7
# Faces that are no clean portrait are passed over; so many may be tried for each that is wanted.
MOST_TRIES = 8
LEAST_SCORE = 0.88
LEAST_EYES_SHARE = 0.20

CHARACTERS = {
    "sprite": Character(
        eyes=1.55, nose=0.82, mouth=0.9, jaw=0.72, head=1.10, chin=-0.06, brows=0.08
    ),
    "baron": Character(
        eyes=0.92, nose=1.30, mouth=1.15, jaw=1.45, cheeks=1.08, head=0.86, chin=0.20, brows=-0.05
    ),
    "moon": Character(
        eyes=1.28, nose=0.88, mouth=1.30, jaw=1.25, cheeks=1.26, chin=-0.16, brows=0.1, smile=0.06
    ),
}
PALETTES = {
    "provence": Palette(((0, 1.0),), saturation=1.25, contrast=1.1),
    "crimson": Palette(((4, 1.0),), saturation=1.15, contrast=1.05),
    "lilac": Palette(((12, 1.0),), saturation=1.35, contrast=1.2),
    "glacier": Palette(((14, 1.0),), saturation=1.6, contrast=1.15),
}
BRUSHES = {
    "gouache": Brush(smooth=0.012, rounds=3, strokes=0.25, tones=7, ink=0.75),
    "oil": Brush(smooth=0.008, rounds=2, strokes=0.6),
}


@dataclass(frozen=True)
class Recipe:
    """One exemplar: a face and what is made of it. The names are keys of the tables above."""

    seed: int
    character: str
    palette: str
    brush: str
    strength: float

    @property
    def name(self) -> str:
        """File name without its ending."""
        return f"{self.palette}_{self.character}_{self.brush}"


@dataclass(frozen=True)
class Portrait:
    """A portrait and how it came to be."""

    name: str
    image: Image.Image
    provenance: dict[str, Any]


def recipes(count: int | None = None) -> list[Recipe]:
    """The style set: every palette, character and brush once, each on a face of its own.

    Args:
        count: the first so many; all by default. Palettes vary fastest, so that few are varied too.
    """
    made = []
    for i, (brush, character, palette) in enumerate(product(BRUSHES, CHARACTERS, PALETTES)):
        draw = np.random.default_rng(STYLE_SEEDS + i)
        strength = float(np.round(draw.uniform(0.85, 1.15), 3))
        made.append(Recipe(STYLE_SEEDS + i * MOST_TRIES, character, palette, brush, strength))
    return made if count is None else made[:count]


def recipe_key(recipe: Recipe) -> str:
    """A digest of everything the exemplar depends on but the weights."""
    tables = (CHARACTERS[recipe.character], PALETTES[recipe.palette], BRUSHES[recipe.brush])
    facts = [asdict(recipe), *(asdict(t) for t in tables), PIXELS, TRUNCATION]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


@torch.no_grad()
def generated_face(
    generator: Generator, seed: int, weights_dir: Path | str
) -> tuple[Image.Image, np.ndarray[Any, np.dtype[np.float64]], int]:
    """The first clean frontal face from `seed` on, its 68 landmarks and the seed it has.

    Raises:
        FaceError: none among `MOST_TRIES` seeds.
    """
    for tried in range(seed, seed + MOST_TRIES):
        draw = torch.Generator().manual_seed(tried)
        z = torch.randn(1, generator.style_dim, generator=draw)
        full = tensor_to_image(generator(z, truncation=TRUNCATION)[0])
        image = full.resize((PIXELS, PIXELS), Image.Resampling.LANCZOS)
        try:
            face, _ = largest_face(image, weights_dir)
        except FaceError:
            continue
        points = face.points_K2
        gap = float(points[1, 0] - points[0, 0])
        nose = float(points[2, 0] - points[0, 0]) / max(gap, 1.0)
        if face.score >= LEAST_SCORE and gap > LEAST_EYES_SHARE * PIXELS and 0.3 < nose < 0.7:
            return image, landmarks68(image, face, weights_dir), tried
    raise FaceError("no clean face among the generated ones", value=seed, limit=MOST_TRIES)


def style_portrait(
    generator: Generator, painter: Painter, recipe: Recipe, weights_dir: Path | str
) -> Portrait:
    """Make one exemplar: generate, exaggerate, paint."""
    image, landmarks_K2, seed = generated_face(generator, recipe.seed, weights_dir)
    character = CHARACTERS[recipe.character].stretched(recipe.strength)
    warped_CHW = exaggerate(image_to_tensor(image), landmarks_K2, character)
    picture = tensor_to_image(warped_CHW)
    face, _ = largest_face(picture, weights_dir)
    moved_K2 = torch.from_numpy(landmarks68(picture, face, weights_dir)).float()
    painted = painter.paint(
        warped_CHW.add(1).div(2), moved_K2, PALETTES[recipe.palette], BRUSHES[recipe.brush]
    )
    facts = {
        "kind": "style",
        "origin": "generated, warped, painted",
        **asdict(recipe),
        "seed": seed,
        "licence": "research only (generator distilled from StyleGAN2-FFHQ)",
    }
    return Portrait(recipe.name, tensor_to_image(painted.mul(2).sub(1)), facts)


def content_portrait(generator: Generator, index: int, weights_dir: Path | str) -> Portrait:
    """One generated face, as it is."""
    image, _, seed = generated_face(generator, CONTENT_SEEDS + index * MOST_TRIES, weights_dir)
    facts = {
        "kind": "content",
        "origin": "generated",
        "seed": seed,
        "licence": "research only (generator distilled from StyleGAN2-FFHQ)",
    }
    return Portrait(f"face{index:02d}", image, facts)


def content_facts() -> list[float]:
    """Everything a content face depends on but its number and the weights."""
    return [CONTENT_SEEDS, MOST_TRIES, PIXELS, TRUNCATION, LEAST_SCORE, LEAST_EYES_SHARE]


def full_size_generator(weights_dir: Path | str) -> MobileStyleGAN:
    """The embedded generator for pictures at full size, which need no heads of smaller ones."""
    path = Path(weights_dir) / GENERATOR_FILE
    generator = MobileStyleGAN()
    fill(generator, generator.state_dict() | load_tensors(path), path)
    return frozen(generator)
