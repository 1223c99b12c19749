"""Exaggeration: a face takes on what an exemplar adds to a mean face, and is itself otherwise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from dualstylegan.faces.shape import Array, expressions, structures
from dualstylegan.finetuning.exaggeration import (
    LANDMARK_PX,
    Exaggeration,
    find_landmarks,
    keep_mouth_opening,
    symmetric,
)
from dualstylegan.finetuning.natural_shapes import NaturalShapes
from tests.support.made_up_landmarks import made_up_landmarks

PX = 64
NARROW, WIDE, OPEN, TURNED, NOBODY = range(5)
SHAPES = {
    NARROW: made_up_landmarks(),
    WIDE: made_up_landmarks(wide=1.2),
    OPEN: made_up_landmarks(open_=0.6),
    TURNED: made_up_landmarks(yaw=0.3),
    NOBODY: np.full((68, 2), np.nan),
}


def image_of(shape: int) -> Tensor:
    """Return an image (1, 3, PX, PX) whose grey level says which shape is in it."""
    return torch.full((1, 3, PX, PX), shape / 4 * 2 - 1)


def landmark_model(image_CHW: Tensor) -> Array:
    """Return the landmarks of `image_of`."""
    assert image_CHW.shape[-1] == LANDMARK_PX
    return SHAPES[round(float(image_CHW.float().mean()) / 255 * 4)]


def mean_face() -> Tensor:
    return find_landmarks(landmark_model, image_of(NARROW))[0]


def exaggeration(*shapes: int) -> Exaggeration:
    """Return the exaggerations of a set, natural faces being all alike."""
    exemplars = torch.cat([image_of(shape) for shape in shapes])
    return Exaggeration(
        landmark_model, NaturalShapes(mean_face(), torch.zeros(1, 68, 2)), exemplars
    )


def test_the_shape_of_an_exemplar_is_added() -> None:
    wide = exaggeration(WIDE).shift_SK2[0]
    moved = (mean_face() + wide).numpy()[None]
    assert np.allclose(structures(moved), structures(SHAPES[WIDE][None]), atol=0.02)


def test_the_mean_face_exaggerates_nothing() -> None:
    assert exaggeration(NARROW).shift_SK2.abs().max() < 1e-6


def test_an_exemplar_without_a_face_exaggerates_nothing() -> None:
    assert torch.equal(exaggeration(NOBODY).shift_SK2, torch.zeros(1, 68, 2))


def test_an_open_mouth_is_no_exaggeration() -> None:
    moved = mean_face() + exaggeration(OPEN).shift_SK2[0]
    opening, _, _ = expressions(moved.numpy()[None])[0]
    unmoved, _, _ = expressions(mean_face().numpy()[None])[0]
    assert opening == pytest.approx(unmoved, rel=0.1)


def test_a_turned_head_is_no_exaggeration() -> None:
    """Yaw is antisymmetric to first order; what is left of it is small."""
    (turned,) = exaggeration(TURNED).shift_SK2
    plain = find_landmarks(landmark_model, image_of(TURNED))[0] - mean_face()
    assert turned.norm() < 0.5 * plain.norm()


def test_symmetric_vectors_stay() -> None:
    once = symmetric(torch.randn(68, 2))
    assert torch.allclose(symmetric(once), once)


def test_lips_keep_their_form() -> None:
    mean = mean_face()
    moved = mean + keep_mouth_opening(0.05 * torch.randn(68, 2), mean)
    before, after = mean[48:68], moved[48:68]
    ratio = torch.pdist(after) / torch.pdist(before)
    assert torch.allclose(ratio, ratio[0], atol=1e-4)


def test_a_face_without_landmarks_is_taken_for_the_mean_face() -> None:
    found = exaggeration(WIDE)(image_of(NOBODY), torch.tensor([0]))
    assert found.shape == (1, 3, PX, PX)
    assert bool(found.isfinite().all())


def test_some_of_the_exemplars_keep_their_own() -> None:
    whole = exaggeration(NARROW, WIDE, OPEN)
    assert torch.equal(whole.of(torch.tensor([2, 1])).shift_SK2, whole.shift_SK2[[2, 1]])
