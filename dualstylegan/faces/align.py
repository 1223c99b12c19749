"""Alignment of a portrait: detection, 68 landmarks, the FFHQ crop, and flags on its quality.

Legend of shape suffixes: K landmark, Q corner of a quad, 2 x and y in pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from dualstylegan.errors import FaceError
from dualstylegan.faces.detect import largest_face
from dualstylegan.faces.geometry import (
    LEFT_EYE,
    RIGHT_EYE,
    Array,
    crop_quad,
    ffhq_quad_of_landmarks,
    quad_side,
)

NOSE_TIP = 30
MIN_CROP_PX = 48
SMALL_SHARE = 0.5
UNCERTAIN_SCORE = 0.75
TILTED_DEGREES = 35.0
TURNED_SHARE = 0.30
OUTSIDE_SHARE = 0.10


@dataclass(frozen=True)
class AlignedFace:
    """An FFHQ crop.

    Attributes:
        image: square, upright.
        quad_Q2: its corners in the photo.
        landmarks_K2: the 68 landmarks in the photo.
        flags: what may spoil a result: `small`, `uncertain`, `tilted`, `turned`, `outside` (of the
            photo) and `several_faces` (the largest was taken).
        score: of the detector.
    """

    image: Image.Image
    quad_Q2: Array
    landmarks_K2: Array
    flags: tuple[str, ...]
    score: float

    @property
    def quad(self) -> Array:
        """The corners (4, 2) in the photo."""
        return self.quad_Q2


def align_face(photo: Image.Image, size: int, *, weights_dir: Path | str) -> AlignedFace:
    """Cut the largest face out of an RGB photo the way FFHQ does.

    Args:
        photo: RGB, upright.
        size: side of the result in pixels.
        weights_dir: where the detector and the landmark model lie.

    Raises:
        FaceError: no face, or one too small to be of use.
        WeightsError: a model is missing.
    """
    from dualstylegan.faces.landmarks import landmarks68

    face, count = largest_face(photo, weights_dir)
    landmarks_K2 = landmarks68(photo, face, weights_dir)
    quad_Q2 = ffhq_quad_of_landmarks(landmarks_K2)
    side = quad_side(quad_Q2)
    if side < MIN_CROP_PX:
        raise FaceError(
            "the face is too small",
            value=f"its crop is {side:.0f} pixels wide",
            limit=f"{MIN_CROP_PX} pixels",
            fix="use a photo that shows the face larger",
        )
    flags = _flags(landmarks_K2, quad_Q2, photo.size, size, face.score)
    if count > 1:
        flags = (*flags, "several_faces")
    return AlignedFace(crop_quad(photo, quad_Q2, size), quad_Q2, landmarks_K2, flags, face.score)


def _flags(
    landmarks_K2: Array, quad_Q2: Array, photo_size: tuple[int, int], size: int, score: float
) -> tuple[str, ...]:
    across, side = quad_Q2[3] - quad_Q2[0], quad_side(quad_Q2)
    eyes = landmarks_K2[LEFT_EYE].mean(0), landmarks_K2[RIGHT_EYE].mean(0)
    # The tip of the nose between the eyes, along the face: 0.5 when it looks straight ahead.
    unit = across / side
    gap = float((eyes[1] - eyes[0]) @ unit)
    nose = float((landmarks_K2[NOSE_TIP] - eyes[0]) @ unit) / max(gap, 1e-9)
    ramp = (np.arange(16) + 0.5) / 16
    inside = (
        quad_Q2[0] + ramp[:, None, None] * across + ramp[None, :, None] * (quad_Q2[1] - quad_Q2[0])
    )
    out = ((inside < 0) | (inside > np.array(photo_size))).any(-1).mean()
    facts = {
        "small": side < SMALL_SHARE * size,
        "uncertain": score < UNCERTAIN_SCORE,
        "tilted": abs(math.degrees(math.atan2(across[1], across[0]))) > TILTED_DEGREES,
        "turned": abs(nose - 0.5) > TURNED_SHARE,
        "outside": out > OUTSIDE_SHARE,
    }
    return tuple(name for name, holds in facts.items() if holds)
