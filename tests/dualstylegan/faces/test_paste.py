"""Pasting back: no box shows, backgrounds stay, and what is the photo already stays the photo."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from PIL import Image

from dualstylegan.errors import ImageError
from dualstylegan.faces.backgrounds import Background
from dualstylegan.faces.geometry import crop_quad
from dualstylegan.faces.paste import Pasted, paste_back
from tests.support.group_photo import (
    Array,
    backdrop,
    box_step,
    draw_head,
    head_mask,
    picture,
    restyled_head,
    square,
)

SIZE = (320, 260)
HAIR, SKIN = (50, 35, 25), (215, 165, 140)
QUAD = square(90, 50, 140)
TURN = np.array([[np.cos(0.4), np.sin(0.4)], [-np.sin(0.4), np.cos(0.4)]])
TURNED = (QUAD - QUAD.mean(0)) @ TURN + QUAD.mean(0)


def photo_of(*quads: Array, size: tuple[int, int] = SIZE) -> Image.Image:
    image_HWC = backdrop(*size)
    for quad_Q2 in quads:
        draw_head(image_HWC, quad_Q2, HAIR, SKIN)
    return picture(image_HWC)


def pixels(image: Image.Image) -> Array:
    return np.asarray(image, float)


def changes(photo: Image.Image, output: Image.Image) -> Array:
    changed: Array = np.abs(pixels(output) - pixels(photo)).max(2)
    return changed


@pytest.mark.parametrize("quad_Q2", [QUAD, TURNED, square(-40, 60, 140), square(150, -15, 180)])
def test_a_head_is_replaced_and_nothing_else(quad_Q2: Array) -> None:
    """Upright, turned, and beyond the photo's edges."""
    photo = photo_of(quad_Q2)
    output = paste_back(photo, [Pasted(restyled_head(), quad_Q2)])
    changed = changes(photo, output)
    assert changed[~head_mask(quad_Q2, SIZE, 1.35)].max() == 0
    inner = head_mask(quad_Q2, SIZE, 0.6)
    assert changed[inner].mean() > 50
    assert box_step(photo, output, quad_Q2) == 0


def test_the_neck_goes_over_into_the_photo_without_a_step() -> None:
    output = pixels(paste_back(photo_of(QUAD), [Pasted(restyled_head(), QUAD)]))
    chin, below = QUAD[0] + (70, 126), QUAD[0] + (70, 160)
    neck = output[int(chin[1]) : int(below[1]), int(chin[0])]
    assert np.abs(neck[0] - neck[-1]).max() > 10
    assert np.abs(np.diff(neck, axis=0)).max() < 16


def test_a_smaller_head_uncovers_background_in_place_of_hair() -> None:
    photo = photo_of(QUAD)
    output = pixels(paste_back(photo, [Pasted(restyled_head(scale=0.85), QUAD)]))
    uncovered = head_mask(QUAD, SIZE, 0.95) & ~head_mask(QUAD, SIZE, 0.92)
    uncovered[170:] = False
    assert np.abs(output - backdrop(*SIZE))[uncovered].mean() < 20


@pytest.mark.parametrize("background", ["keep", "style"])
@pytest.mark.parametrize("size", [100, 140])
def test_a_result_that_is_the_photo_changes_nothing(background: Background, size: int) -> None:
    photo = photo_of(TURNED)
    same = Pasted(crop_quad(photo, TURNED, size), TURNED)
    assert changes(photo, paste_back(photo, [same], background=background)).max() <= 1


def test_several_faces_are_pasted_in_any_order_the_largest_in_front() -> None:
    small, large = square(20, 90, 100), square(95, 40, 180)
    photo = photo_of(small, large)
    faces = [Pasted(restyled_head(), quad_Q2) for quad_Q2 in (large, small)]
    output = paste_back(photo, faces)
    assert output.tobytes() == paste_back(photo, faces[::-1]).tobytes()
    for quad_Q2 in (small, large):
        assert changes(photo, output)[head_mask(quad_Q2, SIZE, 0.5)].mean() > 50
    alone = paste_back(photo, faces[:1])
    front = head_mask(large, SIZE, 0.8)
    assert np.abs(pixels(output) - pixels(alone)).max(2)[front].mean() < 2


def test_a_face_that_was_not_asked_for_stays() -> None:
    other, own = square(10, 70, 110), square(100, 50, 170)
    photo = photo_of(other, own)
    left, top = other[0]
    box = (left + 30, top + 30, left + 80, top + 95)
    output = paste_back(photo, [Pasted(restyled_head(), own)], others=[box])
    u, v = int(left) + 55, int(top) + 62
    assert changes(photo, output)[v - 20 : v + 20, u - 15 : u + 15].max() == 0


def test_a_restyled_background_fades_into_the_photo_whose_palette_follows() -> None:
    photo = photo_of(QUAD)
    result = restyled_head()
    kept = paste_back(photo, [Pasted(result, QUAD)])
    styled = paste_back(photo, [Pasted(result, QUAD)], background="style")
    away = pixels(styled)[:40].mean((0, 1)) - pixels(kept)[:40].mean((0, 1))
    assert np.argmin(away) == 1, "the backdrop of the result is purple"
    towards_the_head = pixels(styled)[120, :100]
    assert np.abs(np.diff(towards_the_head, axis=0)).max() < 25
    assert photo.tobytes() == photo_of(QUAD).tobytes()


def test_a_crop_outside_of_the_photo_is_refused() -> None:
    photo = photo_of()
    with pytest.raises(ImageError, match="outside"):
        paste_back(photo, [Pasted(restyled_head(), square(400, 400, 50))])


def test_a_large_photo_costs_the_memory_of_its_crop() -> None:
    photo = Image.new("RGB", (6000, 4000), (120, 130, 150))
    face = Pasted(restyled_head(), square(5000, 3000, 300))
    tracemalloc.start()
    paste_back(photo, [face])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60e6
