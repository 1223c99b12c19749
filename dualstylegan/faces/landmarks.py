"""68 landmarks with dlib's shape predictor (Kazemi and Sullivan, 2014).

Legend of shape suffixes: K landmark, Q corner of a quad, 2 x and y in pixels.

The predictor was trained on upright faces in the boxes of dlib's own detector. The five points of
YuNet define an FFHQ crop, in which that box is fixed whatever the roll and size of the face.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dualstylegan.errors import WeightsError
from dualstylegan.faces.detect import Face
from dualstylegan.faces.geometry import OVERSAMPLING, crop_quad, ffhq_quad

Array = NDArray[np.float64]

PREDICTOR_FILE = "landmarks68.dat"
WORK_PX = 320
# dlib's detection box in the crop, as fractions of its side: medians over generated faces.
DLIB_BOX = (0.20, 0.305, 0.78, 0.885)
NO_SHIFT = ((0, 0),)


@lru_cache(maxsize=1)
def _predictor(path: Path) -> Any:
    import dlib

    if not path.is_file():
        raise WeightsError("no such file", file=path, fix="run `python -m tasks.download`")
    try:
        return dlib.shape_predictor(str(path))
    except RuntimeError as error:
        raise WeightsError(
            "not a shape predictor",
            file=path,
            value=error,
            fix="delete the file and download it again",
        ) from error


def landmarks68(image: Image.Image, face: Face, weights_dir: Path | str) -> Array:
    """Predict the 68 landmarks (68, 2) of a detected face, in pixels of the image.

    Args:
        image: RGB.
        face: detected in it.
        weights_dir: folder of the landmark model.

    Raises:
        WeightsError: the model is missing or unreadable.
    """
    left_eye, right_eye, _, left_mouth, right_mouth = face.points_K2
    quad_Q2 = ffhq_quad(left_eye, right_eye, (left_mouth + right_mouth) / 2)
    return landmarks_in_quad(image, quad_Q2, weights_dir)


def landmarks_in_quad(
    image: Image.Image,
    quad_Q2: Array,
    weights_dir: Path | str,
    shifts: Sequence[tuple[int, int]] = NO_SHIFT,
    oversampling: int = OVERSAMPLING,
) -> Array:
    """Predict the 68 landmarks (68, 2) of the face in an FFHQ quad, in pixels of the image.

    Args:
        image: RGB.
        quad_Q2: corners (4, 2) of the FFHQ crop of the face in the image, roughly.
        weights_dir: folder of the landmark model.
        shifts: of the box, in pixels of WORK_PX: the mean over several has less noise.
        oversampling: of the crop, see `crop_quad`.

    Raises:
        FaceError: the quad lies outside of the image.
        WeightsError: the model is missing or unreadable.
    """
    import dlib

    predictor = _predictor(Path(weights_dir) / PREDICTOR_FILE)
    crop = np.asarray(crop_quad(image, quad_Q2, WORK_PX, oversampling))
    left, top, right, bottom = (round(WORK_PX * share) for share in DLIB_BOX)
    shapes = [
        predictor(crop, dlib.rectangle(left + x, top + y, right + x, bottom + y)) for x, y in shifts
    ]
    points = [[(p.x, p.y) for p in shape.parts()] for shape in shapes]
    shares_K2 = (np.array(points, float).mean(0) + 0.5) / WORK_PX
    across, down = quad_Q2[3] - quad_Q2[0], quad_Q2[1] - quad_Q2[0]
    landmarks_K2: Array = quad_Q2[0] + shares_K2[:, :1] * across + shares_K2[:, 1:] * down
    return landmarks_K2
