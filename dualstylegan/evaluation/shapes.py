"""68 landmarks of measured pictures, and none where there is no plausible face.

Legend of shape suffixes: C channel, H height, W width, K landmark, Q corner, 2 x and y in pixels.

dlib's landmark model gives a face-like shape whatever it is shown. Whether there is a face, and
whether the shape lies on it, is told by a second witness, the five points of the detector, and by
its place: an aligned face fills its picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from dualstylegan.evaluation.bootstrap import Array
from dualstylegan.evaluation.geometry import LANDMARKS
from dualstylegan.faces.align import NOSE_TIP
from dualstylegan.faces.detect import detect_faces
from dualstylegan.faces.geometry import LEFT_EYE, MOUTH_CORNERS, RIGHT_EYE, quad_of_landmarks

# Mean distance of the five points by either model, over the distance of the eyes. Generated faces
# stay below 0.12, the demo's painted exemplars below 0.20; drawn faces on which one of the two is
# visibly lost begin at 0.3.
DISAGREEMENT_LIMIT = 0.25
# Mean distance of the corners of the landmarks' FFHQ square to those of the picture, over its side:
# an aligned face fills it. Drawn exemplars stay below 0.21, the demo's pictures below 0.04.
MISPLACED_LIMIT = 0.25
UPRIGHT = (0,)


@dataclass(frozen=True)
class FaceShapes:
    """Finds the landmarks of the largest face of an upright, aligned picture.

    Attributes:
        weights_dir: where detector and landmark model lie.
    """

    weights_dir: Path

    def __call__(self, picture_CHW: Tensor) -> Array:
        """Landmarks (68, 2) of a uint8 picture; NaN without a plausible face."""
        from dualstylegan.faces.landmarks import landmarks68

        image = Image.fromarray(picture_CHW.permute(1, 2, 0).contiguous().numpy())
        faces = detect_faces(image, self.weights_dir, turns=UPRIGHT)
        if faces:
            landmarks_K2 = landmarks68(image, faces[0], self.weights_dir)
            agreed = disagreement(landmarks_K2, faces[0].points_K2) <= DISAGREEMENT_LIMIT
            if agreed and misplacement(landmarks_K2, image.width) <= MISPLACED_LIMIT:
                return landmarks_K2
        return np.full((LANDMARKS, 2), np.nan)


def disagreement(landmarks_K2: Array, points_52: Array) -> float:
    """Mean distance of the detector's five points to those of the landmarks, over the eyes'."""
    eyes = [landmarks_K2[eye].mean(0) for eye in (LEFT_EYE, RIGHT_EYE)]
    ours = np.stack((*eyes, landmarks_K2[NOSE_TIP], *landmarks_K2[list(MOUTH_CORNERS)]))
    apart = np.linalg.norm(ours - points_52, axis=1).mean()
    return float(apart / max(np.linalg.norm(eyes[1] - eyes[0]), 1e-9))


def misplacement(landmarks_K2: Array, side: int) -> float:
    """Mean distance of the corners of the landmarks' FFHQ square to the picture's, in sides."""
    corners_Q2 = side * np.array([[0, 0], [0, 1], [1, 1], [1, 0]])
    quad_Q2 = quad_of_landmarks(landmarks_K2)
    return float(np.linalg.norm(quad_Q2 - corners_Q2, axis=1).mean() / side)
