"""The converted weights do what the originals do: faces, distances, identities."""

from __future__ import annotations

from pathlib import Path

import torch

from dualstylegan.faces.align import align_face
from dualstylegan.io.images import image_to_tensor, read_image, tensor_to_image
from dualstylegan.networks.identity import SAME_PERSON_DISTANCE, distance
from dualstylegan.networks.loading import load_identity, load_perceptual
from tasks.demo.compose import full_size_generator


@torch.no_grad()
def test_generated_faces_are_faces_of_different_people(weights: Path) -> None:
    generator = full_size_generator(weights)
    z = torch.randn(2, generator.style_dim, generator=torch.Generator().manual_seed(5000))
    identity = load_identity(weights)
    people = []
    for image in generator(z, truncation=0.7):
        face = align_face(tensor_to_image(image), 256, weights_dir=weights)
        # The generator was trained on FFHQ crops: its pictures are their own crops.
        assert abs(face.quad.mean() - 512) < 40
        people.append(identity(image_to_tensor(face.image)[None]))
    assert float(distance(*people)) > SAME_PERSON_DISTANCE
    photo = read_image(weights / "astronaut.png")
    looks = [align_face(photo.resize((s, s)), 256, weights_dir=weights).image for s in (512, 400)]
    first, second = (identity(image_to_tensor(look)[None]) for look in looks)
    assert float(distance(first, second)) < 0.5 * SAME_PERSON_DISTANCE


@torch.no_grad()
def test_perceptual_distance_grows_with_blur(weights: Path) -> None:
    perceptual = load_perceptual(weights)
    photo = read_image(weights / "astronaut.png")
    sharp = image_to_tensor(photo, 96)[None]
    soft, softer = (image_to_tensor(photo.resize((s, s)).resize((96, 96)))[None] for s in (48, 24))
    assert float(perceptual(sharp, sharp)) < 1e-6
    assert 0.02 < float(perceptual(sharp, soft)) < float(perceptual(sharp, softer)) < 1.2
