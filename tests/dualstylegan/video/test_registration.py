"""Registration: the motion of a head is found, whatever the light and the landmarks' jitter."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from dualstylegan.faces.frame import Array
from dualstylegan.faces.geometry import quad_side
from dualstylegan.video.registration import FramePart, SteadyQuad, follow

SIZE = (400, 360)
QUAD = np.array([(100.0, 70), (100, 270), (300, 270), (300, 70)])


def texture(seed: int) -> Image.Image:
    levels = np.random.default_rng(seed).integers(0, 256, (*SIZE[::-1], 3), np.uint8)
    soft = Image.fromarray(levels).filter(ImageFilter.GaussianBlur(9))
    return soft.point(lambda level: max(0, min(255, 6 * level - 640)))


def moved(points_Q2: Array, zoom: float, degrees: float, x: float, y: float) -> Array:
    turn, middle = np.deg2rad(degrees), np.array(SIZE) / 2
    rows = zoom * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    after: Array = (points_Q2 - middle) @ rows + middle + (x, y)
    return after


def move(image: Image.Image, *motion: float) -> Image.Image:
    """Return an image after a motion of its points, see `moved`."""
    triangle = np.array([(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)])
    origin, right, down = moved(triangle, *motion)
    forth = np.stack((right - origin, down - origin), 1)
    back = np.linalg.inv(forth)
    offset = -back @ origin
    coefficients = (*back[0].tolist(), float(offset[0]), *back[1].tolist(), float(offset[1]))
    return image.transform(SIZE, Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC)


@pytest.mark.parametrize("light", [1.0, 0.7])
@pytest.mark.parametrize(
    "motion", [(1, 0, 0, 0), (1, 0, 4, -3), (1.02, 0, 0, 0), (1, 1.5, 0, 0), (0.99, -1, 3, 3)]
)
def test_a_motion_is_found_to_a_part_of_a_pixel(motion: tuple[float, ...], light: float) -> None:
    before = texture(0)
    after = move(before, *motion).point(lambda level: round(light * level))
    found = follow(FramePart(before, QUAD).picture(QUAD), FramePart(after, QUAD), QUAD)
    assert found is not None
    assert np.abs(found.quad_Q2 - moved(QUAD, *motion)).max() < 0.3


def test_another_picture_is_no_motion() -> None:
    before, after = FramePart(texture(0), QUAD), FramePart(texture(1), QUAD)
    assert follow(before.picture(QUAD), after, QUAD) is None


def test_jitter_of_the_landmarks_does_not_show_and_a_motion_has_no_lag() -> None:
    noise, steady, errors = np.random.default_rng(0), SteadyQuad(), []
    for i in range(30):
        motion = (1 + 0.002 * i, 0.3 * i, 2.0 * np.sin(i), 1.5 * i)
        frame, true = move(texture(0), *motion), moved(QUAD, *motion)
        landmarks = true + noise.normal(0, 1.5, 2)
        errors.append(steady(frame, landmarks, i / 25) - true)
    assert np.abs(np.diff(errors, axis=0)).max() < 0.7
    assert np.abs(errors).max() < 3.5


def test_the_landmarks_are_followed_where_the_picture_says_nothing() -> None:
    steady, blank = SteadyQuad(), Image.new("RGB", SIZE, (90, 90, 90))
    quads = [steady(blank, QUAD + 5.0 * i, i / 25) for i in range(10)]
    assert np.abs(quads[-1] - (QUAD + 45)).max() < 3
    sides = np.linalg.norm(np.roll(quads[-1], -1, 0) - quads[-1], axis=1)
    assert sides == pytest.approx(np.full(4, quad_side(quads[-1])))


def test_a_face_that_was_found_badly_is_found_well_soon() -> None:
    """The picture stands still, while the landmarks correct their first place."""
    steady, frame = SteadyQuad(), texture(0)
    steady(frame, QUAD + np.array([30, 10]), 0.0)
    quads = [steady(frame, QUAD, i / 25) for i in range(1, 8)]
    assert np.abs(quads[-1] - QUAD).max() < 6
