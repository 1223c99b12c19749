"""68 landmarks of evaluated images, or NaN where there is no plausible face.

Legend of shape suffixes: C channel, H height, W width, K landmark, Q corner, 2 x and y in pixels.

dlib's landmark model returns a face-like shape for any input. Two checks tell whether there is a
face and whether the shape lies on it: the five points of the detector must agree with the
landmarks, and the landmarks must lie where an aligned face has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image
from torch import Tensor

from dualstylegan.faces.align import NOSE_TIP
from dualstylegan.faces.detect import detect_faces
from dualstylegan.faces.geometry import LEFT_EYE, MOUTH_CORNERS, RIGHT_EYE, ffhq_quad_of_landmarks
from dualstylegan.faces.shape import LANDMARKS, Array

# Mean distance between the five points of both models, as a share of the distance between the
# eyes. Generated faces stay below 0.12, the demo's painted exemplars below 0.20; drawn faces on
# which one of the two models visibly fails begin at 0.3.
MAX_DISAGREEMENT = 0.25
# Mean distance between the corners of the landmarks' FFHQ square and those of the image, as a share
# of the image's side. An aligned face fills its image: drawn exemplars stay below 0.21, the demo's
# images below 0.04.
MAX_MISPLACEMENT = 0.25
UPRIGHT = (0,)


class LandmarkModel(Protocol):
    """Interface of the landmark model: uint8 image (3, H, W) to 68 landmarks (68, 2) in pixels.

    All landmarks are NaN where there is no plausible face.
    """

    def __call__(self, image_CHW: Tensor, /) -> Array: ...


@dataclass(frozen=True)
class PlausibleLandmarks:
    """Landmark model for the largest face of an upright, aligned image.

    Attributes:
        weights_dir: folder of the detector's and the landmark model's files.
    """

    weights_dir: Path

    def __call__(self, image_CHW: Tensor) -> Array:
        """Return landmarks (68, 2) of a uint8 image; NaN without a plausible face."""
        from dualstylegan.faces.landmarks import landmarks68

        image = Image.fromarray(image_CHW.permute(1, 2, 0).contiguous().numpy())
        faces = detect_faces(image, self.weights_dir, turns=UPRIGHT)
        if faces:
            landmarks_K2 = landmarks68(image, faces[0], self.weights_dir)
            agreed = disagreement(landmarks_K2, faces[0].points_K2) <= MAX_DISAGREEMENT
            if agreed and misplacement(landmarks_K2, image.width) <= MAX_MISPLACEMENT:
                return landmarks_K2
        return np.full((LANDMARKS, 2), np.nan)


def disagreement(landmarks_K2: Array, points_52: Array) -> float:
    """Return the mean distance of the detector's points to the landmarks, in eye distances."""
    eyes = [landmarks_K2[eye].mean(0) for eye in (LEFT_EYE, RIGHT_EYE)]
    ours = np.stack((*eyes, landmarks_K2[NOSE_TIP], *landmarks_K2[list(MOUTH_CORNERS)]))
    apart = np.linalg.norm(ours - points_52, axis=1).mean()
    return float(apart / max(np.linalg.norm(eyes[1] - eyes[0]), 1e-9))


def misplacement(landmarks_K2: Array, side: int) -> float:
    """Return the mean distance of the landmarks' FFHQ square to the image's corners, in sides."""
    corners_Q2 = side * np.array([[0, 0], [0, 1], [1, 1], [1, 0]])
    quad_Q2 = ffhq_quad_of_landmarks(landmarks_K2)
    return float(np.linalg.norm(quad_Q2 - corners_Q2, axis=1).mean() / side)
