"""Attributes of a face see what they are named after, and only that."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dualstylegan.evaluation.attributes import NAMES, attribute_table
from dualstylegan.evaluation.bootstrap import Array
from dualstylegan.io.images import dequantize, quantize, tensor_to_image
from dualstylegan.networks.masks import crop_to_tensor, masks_of
from tests.support.drawn_face import PIXELS, DrawnFace

# Standard deviation of each attribute over 240 generated faces (psi 0.85).
SPREAD = {
    "facial_hair": 14.0,
    "smile": 0.23,
    "age": 0.27,
    "hair_lightness": 21.0,
    "hair_texture": 0.09,
    "skin_tone": 11.0,
}


def measured(face: DrawnFace) -> Array:
    """Return the attributes of a drawn face, in standard deviations."""
    (row,) = attribute_table(face.image()[None], face.landmarks()[None])
    scaled: Array = row / np.array([SPREAD[name] for name in NAMES])
    return scaled


@pytest.mark.parametrize(
    ("name", "plain", "changed"),
    [
        ("facial_hair", DrawnFace(), DrawnFace(beard=1)),
        ("smile", DrawnFace(), DrawnFace(smile=2)),
        ("age", DrawnFace(), DrawnFace(creases=8)),
        ("hair_lightness", DrawnFace(hair=60), DrawnFace(hair=180)),
        ("hair_texture", DrawnFace(curls=True), DrawnFace()),
        ("skin_tone", DrawnFace(skin=130), DrawnFace(skin=200)),
    ],
)
def test_each_attribute_sees_its_own_and_hardly_anything_else(
    name: str, plain: DrawnFace, changed: DrawnFace
) -> None:
    moved = dict(zip(NAMES, measured(changed) - measured(plain), strict=True))
    own = moved.pop(name)
    assert own > 1
    assert {k: v for k, v in moved.items() if abs(v) > 0.5 * own} == {}


def test_a_beard_is_seen_on_dark_and_on_fair_skin_and_beside_creases() -> None:
    beard = NAMES.index("facial_hair")
    for other in (DrawnFace(skin=120), DrawnFace(creases=4), DrawnFace(smile=1, hair=40)):
        shaven = measured(other)[beard]
        bearded = measured(DrawnFace(**{**vars(other), "beard": 1.0}))[beard]
        assert bearded - shaven > 1


def test_attributes_do_not_depend_on_position_and_hardly_on_size() -> None:
    face = DrawnFace(beard=0.5, smile=0.5, creases=3)
    assert measured(face) == pytest.approx(
        measured(DrawnFace(**{**vars(face), "shift": 1})), abs=0.3
    )
    pixels = dequantize(face.image()[None])
    for size in (192, 384):
        resized = quantize(F.interpolate(pixels, (size, size), mode="bilinear", antialias=True))
        landmarks = face.landmarks()[None] * size / PIXELS
        (row,) = attribute_table(resized, landmarks)
        scaled = row / np.array([SPREAD[name] for name in NAMES])
        assert scaled == pytest.approx(measured(face), abs=1.0)


def test_what_lies_outside_of_the_picture_has_no_influence() -> None:
    face = DrawnFace(beard=0.5)
    frame = np.array([[0.0, 0.1], [0.0, 1.0], [1.0, 1.0], [1.0, 0.1]])
    noisy = face.image().clone()
    noisy[:, : PIXELS // 10] = torch.randint(
        0, 255, (3, PIXELS // 10, PIXELS), generator=torch.Generator().manual_seed(0)
    )
    rows = []
    for pixels in (face.image(), noisy):
        crop = tensor_to_image(dequantize(pixels))
        inside = quantize(crop_to_tensor(crop, frame, PIXELS))[None]
        rows.append(attribute_table(inside, face.landmarks()[None], masks_of([frame], PIXELS)))
    np.testing.assert_array_equal(rows[0], rows[1])
    assert np.isfinite(rows[0]).all()


def test_an_attribute_whose_region_lies_outside_is_unknown() -> None:
    face = DrawnFace()
    frame = np.array([[0.0, 0.3], [0.0, 1.0], [1.0, 1.0], [1.0, 0.3]])
    (row,) = attribute_table(face.image()[None], face.landmarks()[None], masks_of([frame], PIXELS))
    known = dict(zip(NAMES, np.isfinite(row), strict=True))
    assert not known["hair_lightness"]
    assert known["facial_hair"]
    assert known["skin_tone"]


def test_faces_without_landmarks_have_no_attributes() -> None:
    landmarks = np.stack((DrawnFace().landmarks(), np.full((68, 2), np.nan)))
    rows = attribute_table(DrawnFace().image().expand(2, -1, -1, -1), landmarks)
    assert np.isfinite(rows[0]).all()
    assert np.isnan(rows[1]).all()
