"""Pictures and faces in the browser: level for level those of Pillow, numpy and dlib."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from dualstylegan.faces.detect import (
    INPUT_PX,
    STRIDES,
    Face,
    _decode,
    _rotate_back,
    _suppress,
    detect_faces,
)
from dualstylegan.faces.frame import continued, frame_mask, picture_frame
from dualstylegan.faces.geometry import _pad, crop_quad, ffhq_quad_of_landmarks
from dualstylegan.faces.landmarks import PREDICTOR_FILE, WORK_PX, landmarks68
from dualstylegan.portrait.face_weights import PACKED_FILE
from dualstylegan.portrait.packed_landmarks import unpack_predictor
from dualstylegan.web.exporter import SITE
from tests.support.browser import CHROMIUM, Tab, browser
from tests.support.exported_sites import packed_faces
from tests.support.sites import HELPERS, as_json, imported, packed, picture, pixels, served

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium binary on this machine")
Pixels = NDArray[np.uint8]
BILINEAR, LANCZOS = Image.Resampling.BILINEAR, Image.Resampling.LANCZOS


@pytest.fixture(scope="module")
def packed_file(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packed_faces(tmp_path_factory.getbasetemp().parent, weights) / PACKED_FILE


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory, packed_file: Path) -> Iterator[Tab]:
    """Tab of a page of the modules' own origin."""
    folder = tmp_path_factory.mktemp("modules")
    for part in ("picture", "face", "net"):
        (folder / part).symlink_to(SITE / "static" / "web" / part)
    (folder / "index.html").write_text("<!doctype html><title>Modules</title>")
    (folder / packed_file.name).symlink_to(packed_file)
    with (
        served(folder) as site,
        browser(tmp_path_factory.mktemp("profile")) as running,
        running.tab() as tab,
    ):
        tab.open(site.address)
        tab.ask(HELPERS)
        yield tab


@pytest.fixture(scope="module")
def photo(weights: Path) -> Image.Image:
    return Image.open(weights / "astronaut.png").convert("RGB")


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    """Return an image whose every level matters."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("name", "size", "box", "gap"),
    [
        ("bilinear", (31, 17), None, None),
        ("bilinear", (20, 15), None, 4.0),
        ("lanczos", (61, 53), (3.3, 2.7, 130.2, 88.9), None),
        ("lanczos", (200, 140), None, None),
        ("lanczos", (13, 9), (0.0, 4.5, 157.0, 100.0), 3.0),
        ("lanczos", (157, 40), None, 3.0),
    ],
)
def test_resizing_is_pillows(
    tab: Tab,
    name: str,
    size: tuple[int, int],
    box: tuple[float, float, float, float] | None,
    gap: float | None,
) -> None:
    source = noise(157, 103)
    method = BILINEAR if name == "bilinear" else LANCZOS
    wanted = source.resize(size, method, box, gap)
    call = (
        f"m.resize({picture(source)}, {size[0]}, {size[1]}, '{name}', {as_json(box)}, {gap or 0})"
    )
    assert np.array_equal(pixels(tab, "picture/resample.js", call), np.asarray(wanted))


@pytest.mark.parametrize("factors", [(2, 2), (3, 5), (7, 7), (1, 4)])
def test_reducing_is_pillows(tab: Tab, factors: tuple[int, int]) -> None:
    source, box = noise(97, 61), (3, 2, 95, 60)
    call = f"m.reduce({picture(source)}, {as_json(factors)}, {as_json(box)})"
    found = pixels(tab, "picture/resample.js", call)
    assert np.array_equal(found, np.asarray(source.reduce(factors, box)))


@pytest.mark.parametrize("radius", [0.4, 1.0, 3.3, 12.7, 40.0])
def test_blurring_is_pillows(tab: Tab, radius: float) -> None:
    source = noise(67, 41)
    found = pixels(tab, "picture/blur.js", f"m.gaussianBlur({picture(source)}, {radius})")
    assert np.array_equal(found, np.asarray(source.filter(ImageFilter.GaussianBlur(radius))))


def test_turns_and_quads_are_pillows(tab: Tab) -> None:
    source = noise(67, 41)
    for quarters in range(4):
        found = pixels(tab, "picture/pixels.js", f"m.turn({picture(source)}, {quarters})")
        assert np.array_equal(found, np.asarray(source.rotate(90 * quarters, expand=True)))
    corners = np.array([[9.3, -4.2], [2.1, 33.0], [58.7, 47.9], [60.4, 5.5]])
    wanted = source.transform((50, 50), Image.Transform.QUAD, corners.ravel().tolist(), BILINEAR)
    found = pixels(tab, "picture/warp.js", f"m.warpQuad({picture(source)}, {as_json(corners)}, 50)")
    assert np.array_equal(found, np.asarray(wanted))


@pytest.mark.parametrize(
    ("before", "after", "side"),
    [((0, 0), (9, 0), 40.0), ((13, 22), (5, 31), 60.0), ((150, 3), (0, 120), 90.0)],
)
def test_padding_is_that_of_the_library(
    tab: Tab, before: tuple[int, int], after: tuple[int, int], side: float
) -> None:
    part = noise(49, 37)
    wanted = _pad(part, np.array(before), np.array(after), side)
    call = f"m.pad({picture(part)}, {as_json(before)}, {as_json(after)}, {side})"
    assert np.array_equal(pixels(tab, "face/geometry.js", call), np.asarray(wanted))


def quads(photo: Image.Image) -> list[NDArray[np.float64]]:
    """Return squares within a photo, tilted beyond its edge, and tiny."""
    square = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]]) / 2
    made = []
    for centre, side, angle in (
        ((220, 110), 300, 0.1),
        ((80, 430), 420, -0.5),
        ((300, 200), 90, 3),
    ):
        cos, sin = np.cos(angle), np.sin(angle)
        turned = square @ np.array([[cos, sin], [-sin, cos]])
        made.append(np.array(centre) * photo.width / 512 + turned * side * photo.width / 512)
    return made


@pytest.mark.parametrize("scale", [1.0, 2.7])
def test_crops_frames_and_their_continuation_are_those_of_the_library(
    tab: Tab, photo: Image.Image, scale: float
) -> None:
    large = photo.resize((round(512 * scale), round(512 * scale)), BILINEAR)
    tab.ask(f"window.photo = {picture(large)}; 0")
    for quad_Q2 in quads(large):
        wanted = crop_quad(large, quad_Q2, 128)
        call = f"m.cropQuad(photo, {as_json(quad_Q2)}, 128)"
        assert np.array_equal(pixels(tab, "face/geometry.js", call), np.asarray(wanted))
        frame_Q2 = picture_frame(large.size, quad_Q2)
        call = f"m.pictureFrame({large.width}, {large.height}, {as_json(quad_Q2)})"
        found = imported(tab, "face/frame.js", call)
        if frame_Q2 is None:
            assert found is None
            continue
        assert np.abs(np.array(found) - frame_Q2).max() <= 1e-6
        call = f"[...m.frameMask({as_json(frame_Q2)}, 128)]"
        inside = np.array(imported(tab, "face/frame.js", call)).reshape(128, 128)
        assert np.array_equal(inside, frame_mask(frame_Q2, 128))
        call = f"m.continued({picture(wanted)}, {as_json(frame_Q2)})"
        filled = pixels(tab, "face/frame.js", call)
        assert np.array_equal(filled, np.asarray(continued(wanted, frame_Q2)))
    outside = quads(large)[0] + 5000
    assert imported(tab, "face/geometry.js", f"m.cropQuad(photo, {as_json(outside)}, 8)") is None


def made_up_outputs(seed: int = 3) -> dict[str, NDArray[np.float32]]:
    """Return tensors as the detector gives them, with a few faces that overlap."""
    rng = np.random.default_rng(seed)
    outputs = {}
    for stride in STRIDES:
        cells = (INPUT_PX // stride) ** 2
        score = np.where(rng.random((1, cells, 1)) > 0.99, rng.uniform(0.5, 1.0), 0.01)
        for kind, width in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
            values = score if width == 1 else rng.normal(0.5, 1, (1, cells, width))
            outputs[f"{kind}_{stride}"] = values.astype(np.float32)
    return outputs


def test_detections_are_decoded_suppressed_and_turned_back_as_in_the_library(tab: Tab) -> None:
    outputs = made_up_outputs()
    parts = [_decode(outputs, stride) for stride in STRIDES]
    scores, boxes, points = (np.concatenate(part) for part in zip(*parts, strict=True))
    kept = _suppress(scores, boxes, 0.6)
    given = ", ".join(f"{name}: {packed(x.ravel())}" for name, x in outputs.items())
    found = imported(tab, "face/detect.js", f"m.suppress(m.decode({{{given}}}), 0.6)")
    assert len(found) == len(kept) > 3
    for one, index in zip(found, kept, strict=True):
        assert one["score"] == pytest.approx(scores[index])
        assert np.allclose(one["box"], boxes[index])
        assert np.allclose(one["points"], points[index])
    face = Face((10.0, 20.0, 50.0, 80.0), 0.9, points[0])
    told = as_json({"box": face.box, "score": 0.9, "points": points[0].tolist()})
    for quarters in range(4):
        back = _rotate_back(face, quarters, (300, 200))
        call = f"m.turnedBack({told}, {quarters}, {{width: 300, height: 200}})"
        one = imported(tab, "face/detect.js", call)
        assert np.allclose(one["box"], back.box)
        assert np.allclose(one["points"], back.points_K2)


def test_landmarks_are_those_of_dlib_by_the_packed_model(
    tab: Tab, photo: Image.Image, weights: Path, packed_file: Path, tmp_path: Path
) -> None:
    """Crops of several sizes and tilts: every landmark to the pixel of the predictor's crop."""
    (tmp_path / PREDICTOR_FILE).write_bytes(unpack_predictor(packed_file))
    (face,) = detect_faces(photo, weights)
    tab.ask(
        "(async () => {"
        "const { readTensors } = await import('/net/safetensors.js');"
        "const { ShapePredictor } = await import('/face/predictor.js');"
        f"const file = await (await fetch('/{packed_file.name}')).arrayBuffer();"
        "const { tensors, meta } = readTensors(file);"
        "window.predictor = new ShapePredictor(tensors, JSON.parse(meta.json).grid);"
        "})()"
    )
    for angle, scale in ((0.0, 1.0), (12.0, 1.0), (-25.0, 0.6), (6.0, 2.2)):
        side = round(512 * scale)
        turned = photo.rotate(angle, BILINEAR).resize((side, side), BILINEAR)
        (face, *_) = detect_faces(turned, weights)
        wanted = landmarks68(turned, face, tmp_path)
        tab.ask(f"window.photo = {picture(turned)}; 0")
        call = f"m.landmarks68(predictor, photo, {as_json(face.points_K2)})"
        found = np.array(imported(tab, "face/landmarks.js", call))
        assert np.abs(found - wanted).max() < 1e-9 * WORK_PX * scale
        quad = ffhq_quad_of_landmarks(wanted)
        call = f"m.quadOfLandmarks({as_json(wanted)})"
        assert np.allclose(imported(tab, "face/geometry.js", call), quad, atol=1e-9)


def test_rounding_is_pythons(tab: Tab) -> None:
    values: list[Any] = [0.5, 1.5, 2.5, -0.5, -1.5, 2.4999, 3.5001, -2.6]
    found = imported(tab, "picture/pixels.js", f"{values}.map(m.roundEven)")
    assert found == [round(x) for x in values]
