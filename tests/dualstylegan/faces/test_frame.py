"""Frame of a picture in its crop: where it lies, what it masks, and how the rest is continued."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dualstylegan.faces.align import align_face
from dualstylegan.faces.frame import (
    MARGIN_PX,
    TRIM_SHARE,
    Array,
    continued,
    frame_mask,
    outside_share,
    picture_frame,
)
from dualstylegan.faces.geometry import crop_quad
from dualstylegan.io.images import read_image

SIZE = 64
# The crop reaches beyond its picture at the top and to the left.
FRAME = np.array([[0.2, 0.25], [0.15, 1.3], [1.2, 1.3], [1.2, 0.2]])


def quad(centre: tuple[float, float], side: float, degrees: float) -> Array:
    """Return a square's corners, turned about its centre."""
    angle = np.radians(degrees)
    x = np.array([np.cos(angle), np.sin(angle)]) * side / 2
    y = np.array([-x[1], x[0]])
    middle = np.array(centre)
    return np.stack((middle - x - y, middle - x + y, middle + x + y, middle + x - y))


def noise(height: int, width: int, seed: int) -> np.ndarray:
    """Draw black and white pixels, the hardest surroundings that a picture can have."""
    pixels = np.random.default_rng(seed).integers(0, 2, (height, width, 1), np.uint8)
    return pixels.repeat(3, 2) * 255


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    st.floats(0.3, 0.7),
    st.floats(0.3, 0.7),
    st.floats(0.5, 1.4),
    st.floats(-180, 180),
    st.integers(120, 400),
)
def test_no_pixel_of_the_mask_has_seen_what_lies_outside(
    x: float, y: float, share: float, degrees: float, width: int
) -> None:
    """Compare crops of a picture alone and of the same picture amid noise."""
    height = 240
    low = np.random.default_rng(1).integers(0, 256, (15, 17, 3), np.uint8)
    picture = np.asarray(Image.fromarray(low).resize((width, height)))
    trim = round(TRIM_SHARE * min(width, height))
    amid = noise(3 * height, 3 * width, 2)
    inner = picture[trim : height - trim, trim : width - trim]
    amid[height + trim : 2 * height - trim, width + trim : 2 * width - trim] = inner
    corners = quad((x * width, y * height), share * min(width, height), degrees)
    alone = crop_quad(Image.fromarray(picture), corners, SIZE)
    surrounded = crop_quad(Image.fromarray(amid), corners + np.array([width, height]), SIZE)
    mask = frame_mask(picture_frame((width, height), corners), SIZE)
    difference = np.abs(np.asarray(alone, int) - np.asarray(surrounded, int)).max(2)
    assert difference[mask].max(initial=0) <= 5
    # and it leaves no more out than it must
    reached = difference > 40
    left_out = int((~mask).sum())
    assert left_out <= reached.sum() / 0.4 + 4 * SIZE * (MARGIN_PX + 1)


def test_a_crop_turned_by_a_right_angle_has_its_mask_turned() -> None:
    """The crop reaches 5 px beyond the left edge, that is below when the crop is turned."""
    upright, turned = (
        frame_mask(picture_frame((100, 100), quad((40, 50), 90, degrees)), SIZE)
        for degrees in (0, 90)
    )
    assert not upright[:, 0].any()
    assert upright[:, 8:].all()
    assert np.array_equal(turned, np.rot90(upright))


def test_a_frame_is_exact_at_any_size() -> None:
    areas = [frame_mask(FRAME, size).mean() for size in (1024, 256, 64)]
    assert areas[0] == pytest.approx(0.63, abs=0.01)
    assert areas[0] > areas[1] > areas[2] > areas[0] - 8 * MARGIN_PX / 64


def test_a_picture_that_covers_its_crop_has_no_frame_and_no_edge() -> None:
    assert picture_frame((400, 400), quad((200, 200), 250, 17)) is None
    touching = picture_frame((400, 400), quad((200, 200), 392, 0))
    assert touching is None
    assert frame_mask(None, SIZE).all()
    crop = Image.fromarray(noise(SIZE, SIZE, 0))
    assert continued(crop, None).tobytes() == crop.tobytes()
    assert outside_share(None) == 0


@pytest.mark.parametrize("fill", ["noise", "black", "mirrored"])
def test_the_continuation_depends_on_the_picture_alone(fill: str) -> None:
    mask = frame_mask(FRAME, SIZE)
    pixels = np.asarray(Image.fromarray(noise(8, 8, 3)).resize((SIZE, SIZE))).copy()
    outside = {"noise": noise(SIZE, SIZE, 4), "black": 0 * pixels, "mirrored": pixels[::-1, ::-1]}
    other = np.where(mask[..., None], pixels, outside[fill])
    wanted, found = (np.asarray(continued(Image.fromarray(p), FRAME)) for p in (pixels, other))
    assert not np.array_equal(pixels, other)
    assert np.array_equal(wanted, found)
    assert np.array_equal(found[mask], pixels[mask])
    assert np.array_equal(np.asarray(continued(Image.fromarray(found), FRAME)), found)


def test_the_continuation_is_smooth() -> None:
    """A ramp goes on at its level, without an edge."""
    ramp = np.tile(np.linspace(60, 200, SIZE)[None, :, None], (SIZE, 1, 3)).astype(np.uint8)
    found = np.asarray(continued(Image.fromarray(ramp), FRAME), float)
    mask = frame_mask(FRAME, SIZE)
    assert np.abs(np.diff(found, axis=0)).max() < 25
    assert found[~mask].min() >= 60
    assert found[~mask].max() <= 200


def test_alignment_tells_how_much_of_the_photo_a_crop_shows(weights: Path) -> None:
    photo = read_image(weights / "astronaut.png")
    whole = align_face(photo, SIZE, weights_dir=weights)
    assert whole.frame_Q2 is None
    left, top, right, bottom = 150, 60, 420, 400
    cut = align_face(photo.crop((left, top, right, bottom)), SIZE, weights_dir=weights)
    assert cut.frame_Q2 is not None
    mask = frame_mask(cut.frame_Q2, SIZE)
    assert 0.02 < outside_share(cut.frame_Q2) < 0.6
    assert mask[SIZE // 2, SIZE // 2]
    assert not mask[0].any()
    difference = np.abs(np.asarray(whole.image, int) - np.asarray(cut.image, int)).mean(2)
    assert difference[mask].mean() < difference[~mask].mean()
