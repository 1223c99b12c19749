"""Detection and the FFHQ crop, on a photo in the public domain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dualstylegan.errors import FaceError, WeightsError
from dualstylegan.faces.align import AlignedFace, align_face, align_faces
from dualstylegan.faces.detect import detect_faces
from dualstylegan.faces.geometry import crop_quad, ffhq_quad
from dualstylegan.io.images import read_image


@pytest.fixture(scope="module")
def photo(weights: Path) -> Image.Image:
    return read_image(weights / "astronaut.png")


@pytest.fixture(scope="module")
def aligned(weights: Path, photo: Image.Image) -> AlignedFace:
    return align_face(photo, 128, weights_dir=weights)


def difference(a: Image.Image, b: Image.Image) -> float:
    return float(np.abs(np.asarray(a, float) - np.asarray(b, float)).mean())


def test_landmarks_lie_where_the_face_is(aligned: AlignedFace) -> None:
    eyes = aligned.landmarks_K2[36:48].mean(0)
    mouth = aligned.landmarks_K2[[48, 54]].mean(0)
    assert np.abs(eyes - (224, 108)).max() < 8
    assert np.abs(mouth - (226, 150)).max() < 12
    assert aligned.flags == ()


@pytest.mark.parametrize("degrees", [30, 90, 180])
def test_a_turned_photo_gives_the_same_crop(
    weights: Path, photo: Image.Image, aligned: AlignedFace, degrees: int
) -> None:
    turned = photo.rotate(degrees, expand=True, resample=Image.Resampling.BICUBIC)
    other = align_face(turned, 128, weights_dir=weights)
    assert difference(aligned.image, other.image) < 14


@pytest.fixture(scope="module")
def group(photo: Image.Image) -> Image.Image:
    """Return a picture of three faces: the first, one of half its size, and one too small."""
    picture = Image.new("RGB", (768, 512))
    picture.paste(photo, (0, 0))
    picture.paste(photo.resize((256, 256)), (512, 0))
    picture.paste(photo.resize((128, 128)), (512, 300))
    return picture


def test_the_largest_of_several_faces_is_taken(weights: Path, group: Image.Image) -> None:
    face = align_face(group, 128, weights_dir=weights)
    assert "several_faces" in face.flags
    assert face.quad[:, 0].max() < 512
    assert len(detect_faces(group, weights)) == 3


def test_all_faces_are_taken_and_what_is_left_out_is_said(
    weights: Path, group: Image.Image
) -> None:
    found = align_faces(group, 128, weights_dir=weights)
    first, second = found.faces
    largest = align_face(group, 128, weights_dir=weights)
    assert first.image.tobytes() == largest.image.tobytes()
    assert second.quad[:, 0].min() > 512
    assert difference(first.image, second.image) < 14
    assert str(found).startswith("3 faces found, 2 taken; ")
    assert "the face is too small, its crop is" in str(found)
    one = align_faces(group, 128, weights_dir=weights, count=1)
    assert [left.reason for left in one.left_out] == ["smaller than those asked for"] * 2


def test_no_face_and_a_tiny_face_are_refused(weights: Path, photo: Image.Image) -> None:
    with pytest.raises(FaceError, match="no face"):
        align_face(Image.new("RGB", (200, 200), (90, 120, 150)), 128, weights_dir=weights)
    with pytest.raises(FaceError, match="too small"):
        align_face(photo.resize((128, 128)), 128, weights_dir=weights)
    with pytest.raises(WeightsError, match="no such file"):
        align_face(photo, 128, weights_dir=weights / "absent")


def test_grey_photos_work(weights: Path, photo: Image.Image) -> None:
    grey = photo.convert("L").convert("RGB")
    assert align_face(grey, 64, weights_dir=weights).image.size == (64, 64)


def test_a_crop_beyond_the_photo_goes_on_without_a_seam() -> None:
    pixels = np.random.default_rng(0).integers(60, 200, (64, 64, 3), np.uint8)
    quad = np.array([(-20.0, -20.0), (-20.0, 84.0), (84.0, 84.0), (84.0, -20.0)])
    crop = np.asarray(crop_quad(Image.fromarray(pixels), quad, 104))
    assert crop.shape == (104, 104, 3)
    assert crop.min() > 30
    assert np.abs(crop[24:80, 24:80].astype(float) - pixels[4:60, 4:60]).mean() < 20


def test_beyond_the_photo_lies_its_background_without_its_frame() -> None:
    """Hair that touches the upper edge is not mirrored, and a drawn frame is not continued."""
    pixels = np.full((100, 100, 3), 200, np.uint8)
    pixels[:30, 25:75] = 20
    pixels[[0, -1]] = pixels[:, [0, -1]] = (255, 0, 0)
    quad = np.array([(-10.0, -10.0), (-10.0, 110.0), (110.0, 110.0), (110.0, -10.0)])
    crop = np.asarray(crop_quad(Image.fromarray(pixels), quad, 120)).astype(int)
    assert np.abs(crop[:3] - 200).max() < 8
    assert (crop[:, :, 0] - crop[:, :, 1]).max() < 8


def test_quad_follows_the_formula() -> None:
    left, right, mouth = np.array([40.0, 50.0]), np.array([60.0, 50.0]), np.array([50.0, 74.0])
    quad = ffhq_quad(left, right, mouth)
    side = 2 * max(20 * 2.0, 24 * 1.8)
    assert np.allclose(quad[3] - quad[0], (side, 0))
    assert np.allclose(quad.mean(0), (50, 50 + 2.4))
