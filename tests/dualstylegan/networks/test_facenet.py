"""FaceNet: invariance to contrast and size, unit embeddings, box of the face."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from dualstylegan.faces.align import align_face
from dualstylegan.io.images import image_to_tensor, read_image
from dualstylegan.networks.facenet import (
    FACENET_DIM,
    FACENET_PX,
    SAME_PERSON_COSINE,
    FaceNet,
    cosine,
    face_box,
    standardise,
)
from dualstylegan.networks.loading import load_facenet


@pytest.fixture(scope="module")
def facenet(weights: Path) -> FaceNet:
    return load_facenet(weights)


@pytest.fixture(scope="module")
def portrait(weights: Path) -> Tensor:
    """Return the FFHQ crop of a photo, (1, 3, 256, 256)."""
    photo = read_image(weights / "astronaut.png")
    return image_to_tensor(align_face(photo, 256, weights_dir=weights).image)[None]


def test_contrast_and_brightness_do_not_matter() -> None:
    image = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) - 0.5
    expected = standardise(image)
    assert expected.mean((1, 2, 3)) == pytest.approx(torch.zeros(2), abs=1e-5)
    assert expected.std((1, 2, 3), correction=0) == pytest.approx(torch.ones(2), abs=1e-5)
    assert torch.allclose(standardise(0.3 * image + 0.4), expected, atol=1e-5)
    # each image by itself: its batch mates do not matter either
    assert torch.allclose(standardise(image[:1]), expected[:1], atol=1e-6)


def test_noise_of_a_nearly_flat_image_is_not_blown_up() -> None:
    faint = torch.full((1, 3, 160, 160), 0.2)
    faint[0, 0, 0, 0] += 1e-6
    assert standardise(faint).abs().max() < 0.1


@torch.no_grad()
def test_embeddings_have_unit_length_whatever_the_image(facenet: FaceNet) -> None:
    flat = torch.full((1, 3, 64, 64), 0.3)
    images = torch.cat((flat, torch.rand(1, 3, 64, 64) * 2 - 1))
    embeddings = facenet(images)
    assert embeddings.shape == (2, FACENET_DIM)
    assert embeddings.isfinite().all()
    assert torch.allclose(embeddings.norm(dim=1), torch.ones(2), atol=1e-5)
    assert float(cosine(embeddings[:1], embeddings[:1])) == pytest.approx(1, abs=1e-5)


def test_the_box_is_the_same_part_of_the_face_at_every_size() -> None:
    ramp_N = torch.linspace(-1, 1, 1024)
    row, column = torch.meshgrid(ramp_N, ramp_N, indexing="ij")
    ramp = torch.stack((column, row, row))[None]
    boxes = []
    for size in (128, 256, 1024):
        resized = torch.nn.functional.interpolate(ramp, (size, size), mode="area")
        boxes.append(face_box(resized))
        assert boxes[-1].shape == (1, 3, FACENET_PX, FACENET_PX)
    for box in boxes[1:]:
        assert (box - boxes[0]).abs().max() < 2 / 128  # one pixel of the smallest


@torch.no_grad()
def test_size_and_light_leave_a_person_the_same(facenet: FaceNet, portrait: Tensor) -> None:
    own = facenet(portrait)
    for size in (128, 1024):
        resized = torch.nn.functional.interpolate(
            portrait, (size, size), mode="bicubic", antialias=True
        ).clamp(-1, 1)
        assert float(cosine(facenet(resized), own)) > 0.98, size
    assert float(cosine(facenet(0.5 * portrait - 0.3), own)) > 0.999
    assert float(cosine(facenet(portrait.flip(3)), own)) > SAME_PERSON_COSINE
