"""Face detection with YuNet (Wu et al., 2023) in onnxruntime.

Legend of shape suffixes: K point, P prior (a cell of the network's grid), 2 x and y in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dualstylegan.errors import FaceError, WeightsError

Array = NDArray[np.float64]

DETECTOR_FILE = "yunet.onnx"
INPUT_PX = 640
STRIDES = (8, 16, 32)
# An image of more than twice so many times the input is averaged in squares first.
REDUCING_GAP = 4.0
SCORE_LIMIT = 0.6
OVERLAP_LIMIT = 0.3
# The network detects faces with a roll of up to about 45 degrees; quarter turns cover the rest.
QUARTER_TURNS = (0, 1, 3, 2)
# Faces with more roll are detected too, but with misplaced points and a score lower by this margin.
TURN_MARGIN = 0.03


@dataclass(frozen=True)
class Face:
    """Detected face, in pixels of the image.

    Attributes:
        box: left, top, right, bottom.
        score: confidence, 0 to 1.
        points_K2: left eye, right eye, nose tip, left and right mouth corner, as seen in an
            upright image.
    """

    box: tuple[float, float, float, float]
    score: float
    points_K2: Array

    @property
    def area(self) -> float:
        """Area of the box in square pixels."""
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


def onnx_session(path: Path) -> Any:
    """Open an ONNX network in onnxruntime on one CPU thread: same input, same bytes.

    Raises:
        WeightsError: the file is missing or not a network.
    """
    import onnxruntime

    if not path.is_file():
        raise WeightsError("no such file", file=path, fix="run `python -m tasks.download`")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common base class
        raise WeightsError(
            "not an ONNX network",
            file=path,
            value=error,
            fix="delete the file and download it again",
        ) from error


@lru_cache(maxsize=1)
def _detector(path: Path) -> Any:
    return onnx_session(path)


def detect_faces(
    image: Image.Image,
    weights_dir: Path | str,
    score_limit: float = SCORE_LIMIT,
    turns: Sequence[int] = QUARTER_TURNS,
) -> list[Face]:
    """Detect all faces of an RGB image, the largest first.

    Args:
        image: RGB.
        weights_dir: folder of the detector.
        score_limit: minimum score of a face.
        turns: orientations that are tried, in counterclockwise quarter turns; the one with the
            highest score is used.

    Raises:
        WeightsError: the detector is missing or unreadable.
    """
    network = _detector(Path(weights_dir) / DETECTOR_FILE)
    scale = INPUT_PX / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    small = image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=REDUCING_GAP)
    best: list[Face] = []
    for quarters in turns:
        turned = small.rotate(90 * quarters, expand=True) if quarters else small
        faces = _detect_upright(network, turned, scale, score_limit)
        if _best_score(faces) > _best_score(best) + TURN_MARGIN:
            best = [_rotate_back(face, quarters, image.size) for face in faces]
    return sorted(best, key=lambda face: -face.area)


def _best_score(faces: list[Face]) -> float:
    return max((face.score for face in faces), default=-TURN_MARGIN)


def require_faces(image: Image.Image, weights_dir: Path | str) -> list[Face]:
    """Detect all faces of an RGB image, the largest first, one at least.

    Raises:
        FaceError: no face.
        WeightsError: the detector is missing or unreadable.
    """
    faces = detect_faces(image, weights_dir)
    if not faces:
        raise FaceError(
            "no face found",
            value=f"an image of {image.width} x {image.height}",
            limit=f"detector score of at least {SCORE_LIMIT}",
            fix="use a sharper, more frontal or larger face",
        )
    return faces


def largest_face(image: Image.Image, weights_dir: Path | str) -> Face:
    """Return the largest face of an RGB image, see `require_faces`."""
    return require_faces(image, weights_dir)[0]


def _detect_upright(
    network: Any, small: Image.Image, scale: float, score_limit: float
) -> list[Face]:
    """Detect faces, in pixels of an image of which `small` is the reduction by `scale`."""
    canvas = np.zeros((INPUT_PX, INPUT_PX, 3), np.float32)
    canvas[: small.height, : small.width] = np.asarray(small)[..., ::-1]  # the network takes BGR
    names = [output.name for output in network.get_outputs()]
    values = network.run(None, {network.get_inputs()[0].name: canvas.transpose(2, 0, 1)[None]})
    outputs = dict(zip(names, values, strict=True))
    scores, boxes, points = (
        np.concatenate(parts) for parts in zip(*(_decode(outputs, s) for s in STRIDES), strict=True)
    )
    kept = _suppress(scores, boxes, score_limit)
    return [
        Face(tuple((boxes[i] / scale).tolist()), float(scores[i]), points[i] / scale) for i in kept
    ]


def _decode(outputs: dict[str, Any], stride: int) -> tuple[Array, Array, Array]:
    """Decode scores (P,), boxes (P, 4) and points (P, 5, 2) of one grid, in input pixels."""
    cells = INPUT_PX // stride
    rows, columns = np.divmod(np.arange(cells * cells), cells)
    corner_P2 = np.stack((columns, rows), 1).astype(np.float64)
    parts = (outputs[f"{kind}_{stride}"][0] for kind in ("cls", "obj", "bbox", "kps"))
    classes, objects, box, points = (part.astype(np.float64) for part in parts)
    score = np.sqrt(np.clip(classes[:, 0], 0, 1) * np.clip(objects[:, 0], 0, 1))
    centre_P2 = (corner_P2 + box[:, :2]) * stride
    half_P2 = np.exp(box[:, 2:]) * stride / 2
    corners = np.concatenate((centre_P2 - half_P2, centre_P2 + half_P2), 1)
    return score, corners, (points.reshape(-1, 5, 2) + corner_P2[:, None]) * stride


def _suppress(scores: Array, boxes: Array, score_limit: float) -> list[int]:
    """Return the indices of boxes after non-maximum suppression, best first."""
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        if scores[i] < score_limit:
            break
        if all(_overlap(boxes[i], boxes[j]) < OVERLAP_LIMIT for j in kept):
            kept.append(int(i))
    return kept


def _overlap(a: Array, b: Array) -> float:
    """Compute the intersection over union of two boxes."""
    sides = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)
    inside = float(np.prod(sides))
    return inside / (float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - inside)


def _rotate_back(face: Face, turns: int, size: tuple[int, int]) -> Face:
    """Transform a face from an image turned counterclockwise back to the image itself."""
    width, height = size

    def back(points: Array) -> Array:
        x, y = points[..., 0], points[..., 1]
        turned = ((x, y), (width - y, x), (width - x, height - y), (y, height - x))[turns]
        return np.stack(turned, -1)

    corners = back(np.array(face.box).reshape(2, 2))
    box = (*corners.min(0).tolist(), *corners.max(0).tolist())
    return Face(box, face.score, back(face.points_K2))
