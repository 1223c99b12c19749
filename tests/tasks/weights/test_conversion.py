"""The converted weights do what the originals do: faces, distances, identities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from dualstylegan.faces.align import align_face
from dualstylegan.io.images import image_to_tensor, read_image, tensor_to_image
from dualstylegan.networks.facenet import SAME_PERSON_COSINE, cosine
from dualstylegan.networks.identity import SAME_PERSON_DISTANCE, distance
from dualstylegan.networks.loading import load_facenet, load_identity, load_perceptual
from tasks.demo.compose import full_size_generator
from tasks.weights.conversion import KERAS_EPSILON, fold_batch_norm


@torch.no_grad()
def test_generated_faces_are_faces_of_different_people(weights: Path) -> None:
    generator = full_size_generator(weights)
    z = torch.randn(2, generator.style_dim, generator=torch.Generator().manual_seed(5000))
    identity, facenet = load_identity(weights), load_facenet(weights)
    people, embeddings = [], []
    for image in generator(z, truncation=0.7):
        face = align_face(tensor_to_image(image), 256, weights_dir=weights)
        # The generator was trained on FFHQ crops: its pictures are their own crops.
        assert abs(face.quad.mean() - 512) < 40
        people.append(identity(image_to_tensor(face.image)[None]))
        embeddings.append(facenet(image_to_tensor(face.image)[None]))
    assert float(distance(*people)) > SAME_PERSON_DISTANCE
    assert float(cosine(*embeddings)) < 0.5 * SAME_PERSON_COSINE
    photo = read_image(weights / "astronaut.png")
    looks = [align_face(photo.resize((s, s)), 256, weights_dir=weights).image for s in (512, 400)]
    first, second = (identity(image_to_tensor(look)[None]) for look in looks)
    assert float(distance(first, second)) < 0.5 * SAME_PERSON_DISTANCE
    first, second = (facenet(image_to_tensor(look)[None]) for look in looks)
    assert float(cosine(first, second)) > 0.9


@torch.no_grad()
def test_a_convolution_absorbs_the_batch_normalisation_after_it() -> None:
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 1, 4, 6))  # height, width, inputs, outputs: Keras' order
    norm = {
        "moving_mean": rng.normal(size=6),
        "moving_variance": rng.uniform(0.1, 2, 6),
        "beta": rng.normal(size=6),
    }
    weight, bias = (torch.from_numpy(x) for x in fold_batch_norm({"kernel": kernel}, norm))
    x = torch.from_numpy(rng.normal(size=(2, 4, 5, 5)))
    plain = torch.nn.functional.conv2d(x, torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()))
    mean, variance, beta = (torch.from_numpy(values) for values in norm.values())
    expected = torch.nn.functional.batch_norm(plain, mean, variance, None, beta, eps=KERAS_EPSILON)
    assert torch.allclose(torch.nn.functional.conv2d(x, weight, bias), expected)
    dense, own = fold_batch_norm({"kernel": kernel[0, 0], "bias": norm["beta"]}, None)
    assert (dense.shape, own.tolist()) == ((6, 4), norm["beta"].tolist())


@torch.no_grad()
def test_perceptual_distance_grows_with_blur(weights: Path) -> None:
    perceptual = load_perceptual(weights)
    photo = read_image(weights / "astronaut.png")
    sharp = image_to_tensor(photo, 96)[None]
    soft, softer = (image_to_tensor(photo.resize((s, s)).resize((96, 96)))[None] for s in (48, 24))
    assert float(perceptual(sharp, sharp)) < 1e-6
    assert 0.02 < float(perceptual(sharp, soft)) < float(perceptual(sharp, softer)) < 1.2
