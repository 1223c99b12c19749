"""Portraits of the demo: exemplars, painted by recipes, and photographed content faces."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from dualstylegan.errors import FaceError
from dualstylegan.faces.detect import largest_face
from dualstylegan.faces.landmarks import landmarks68
from dualstylegan.io.checkpoints import fill, load_tensors
from dualstylegan.io.images import image_to_tensor, tensor_to_image
from dualstylegan.networks.generator import Generator
from dualstylegan.networks.loading import GENERATOR_FILE, freeze
from dualstylegan.networks.mobilestylegan import MobileStyleGAN
from dualstylegan.pretraining.painting.paint import Painter
from dualstylegan.pretraining.photograph.chain import Photograph
from tasks.demo.recipes import MAX_TRIES, PIXELS, Recipe, paint_face, strongest

# Increase when a photographic degradation changes; new ranges change the keys by themselves.
PHOTO_VERSION = 1
CONTENT_SEEDS = 5000
CAMERA_SEEDS = 6000
TRUNCATION = 0.7
# Content faces take these in turn: the others are as varied as the generator can be.
CONTENT_TRUNCATIONS = (1.0, TRUNCATION)
# One content face of so many is partly covered: by glasses, hair, a hat, a hand or a scarf.
COVERED_PERIOD = 5
# Found by eye: a hand in front of the face, or another person in the image.
SKIPPED_SEEDS = frozenset({1032, 1072, 1096, 1097, 1098, 1104})
# Score below which a photographed face is photographed again.
MIN_PHOTO_SCORE = 0.8
MIN_SCORE = 0.88
MIN_EYES_SHARE = 0.20


@dataclass(frozen=True)
class Portrait:
    """Portrait with its provenance."""

    name: str
    image: Image.Image
    provenance: dict[str, Any]


def recipe_key(recipe: Recipe) -> str:
    """Return a digest of everything that the exemplar depends on, except the weights."""
    facts = [*recipe.facts(), *face_facts(recipe.seed)]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


@torch.no_grad()
def generated_face(
    generator: Generator, seed: int, weights_dir: Path | str, truncation: float = TRUNCATION
) -> tuple[Image.Image, np.ndarray[Any, np.dtype[np.float64]], int]:
    """Generate the first clean frontal face from `seed` on.

    Returns:
        Image, 68 landmarks (68, 2) in pixels, and the face's seed.

    Raises:
        FaceError: no clean face among `MAX_TRIES` seeds.
    """
    for tried in range(seed, seed + MAX_TRIES):
        if tried in SKIPPED_SEEDS:
            continue
        rng = torch.Generator().manual_seed(tried)
        z = torch.randn(1, generator.style_dim, generator=rng)
        full = tensor_to_image(generator(z, truncation=truncation)[0])
        image = full.resize((PIXELS, PIXELS), Image.Resampling.LANCZOS)
        try:
            face = largest_face(image, weights_dir)
        except FaceError:
            continue
        points = face.points_K2
        gap = float(points[1, 0] - points[0, 0])
        nose = float(points[2, 0] - points[0, 0]) / max(gap, 1.0)
        if face.score >= MIN_SCORE and gap > MIN_EYES_SHARE * PIXELS and 0.3 < nose < 0.7:
            return image, landmarks68(image, face, weights_dir), tried
    raise FaceError(
        "no clean face among the generated faces",
        value=seed,
        limit=MAX_TRIES,
        fix="give another seed",
    )


def style_portrait(
    generator: Generator, painter: Painter, recipe: Recipe, weights_dir: Path | str
) -> Portrait:
    """Make an exemplar: generate a face, exaggerate it, paint it.

    Raises:
        FaceError: the detector finds no face in the painting at any strength.
    """
    image, landmarks_K2, seed = generated_face(generator, recipe.seed, weights_dir)

    def paint(strength: float) -> Image.Image:
        painted = paint_face(image, landmarks_K2, recipe, strength, painter, weights_dir)
        largest_face(painted, weights_dir)  # it will have to be aligned
        return painted

    result, strength = strongest(recipe, paint)
    facts = {
        "kind": "style",
        "origin": "generated, warped, painted",
        **asdict(recipe),
        "seed": seed,
        "truncation": TRUNCATION,
        "strength": strength,
        "licence": "research only (generator distilled from StyleGAN2-FFHQ)",
    }
    return Portrait(recipe.name, result, facts)


def content_portrait(generator: Generator, index: int, weights_dir: Path | str) -> Portrait:
    """Make a content face: generate a face and turn it into an ordinary photograph.

    Raises:
        FaceError: no clean face, or the detector finds it in none of its photographs.
    """
    truncation = content_truncation(index)
    face, _, seed = generated_face(generator, content_seed(index), weights_dir, truncation)
    for camera_seed in camera_seeds(index):
        photograph = draw_photograph(index, camera_seed)
        image = tensor_to_image(photograph(image_to_tensor(face)))
        try:
            if largest_face(image, weights_dir).score >= MIN_PHOTO_SCORE:
                break
        except FaceError:
            continue
    else:
        raise FaceError(
            "no face found in a photographed face",
            value=seed,
            limit=MAX_TRIES,
            fix="give another seed",
        )
    facts = {
        "kind": "content",
        "origin": "generated, photographed",
        "seed": seed,
        "truncation": truncation,
        "camera_seed": camera_seed,
        "degradations": ", ".join(photograph.names),
        "licence": "research only (generator distilled from StyleGAN2-FFHQ)",
    }
    return Portrait(f"face{index:02d}", image, facts)


def draw_photograph(index: int, camera_seed: int) -> Photograph:
    """Draw the photographic degradations of a content face."""
    rng = torch.Generator().manual_seed(camera_seed)
    covered = index % COVERED_PERIOD == COVERED_PERIOD - 1
    return Photograph.draw(rng, occlusion_probability=float(covered))


def content_facts(index: int) -> list[Any]:
    """Return everything that a content face depends on, except the weights."""
    photographs = [draw_photograph(index, seed).facts() for seed in camera_seeds(index)]
    face = face_facts(content_seed(index), content_truncation(index))
    return [PHOTO_VERSION, MIN_PHOTO_SCORE, *face, photographs]


def face_facts(seed: int, truncation: float = TRUNCATION) -> list[Any]:
    """Return everything that the face of a seed depends on, except the weights."""
    skipped = sorted(SKIPPED_SEEDS & set(range(seed, seed + MAX_TRIES)))
    return [seed, MAX_TRIES, PIXELS, truncation, MIN_SCORE, MIN_EYES_SHARE, skipped]


def content_truncation(index: int) -> float:
    """Return the psi of a content face."""
    return CONTENT_TRUNCATIONS[index % len(CONTENT_TRUNCATIONS)]


def camera_seeds(index: int) -> range:
    """Return the seeds of a content face's photographs, tried in order."""
    return range(CAMERA_SEEDS + index * MAX_TRIES, CAMERA_SEEDS + (index + 1) * MAX_TRIES)


def content_seed(index: int) -> int:
    """Return the first seed of a content face."""
    return CONTENT_SEEDS + index * MAX_TRIES


def full_size_generator(weights_dir: Path | str) -> MobileStyleGAN:
    """Load the embedded generator for full-size images, without the RGB heads of smaller sizes."""
    path = Path(weights_dir) / GENERATOR_FILE
    generator = MobileStyleGAN()
    fill(generator, generator.state_dict() | load_tensors(path), path)
    return freeze(generator)
