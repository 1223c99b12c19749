"""Alignment of a portrait: detection, 68 landmarks, the FFHQ crop, and quality flags.

Legend of shape suffixes: K landmark, Q corner of a quad, 2 x and y in pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from dualstylegan.errors import FaceError
from dualstylegan.faces.detect import Face, require_faces
from dualstylegan.faces.frame import Array, picture_frame
from dualstylegan.faces.geometry import (
    LEFT_EYE,
    RIGHT_EYE,
    crop_quad,
    ffhq_quad_of_landmarks,
    quad_side,
)
from dualstylegan.faces.landmarks import landmarks68

NOSE_TIP = 30
MIN_CROP_PX = 48
SMALLER = "smaller than those asked for"
# Bounds of the flags: crop's side over the requested one, detector's score, roll, offset of the
# nose from the middle of the eyes over their distance, fraction of the crop outside of the photo.
MIN_SIZE_RATIO = 0.5
MIN_SCORE = 0.75
MAX_ROLL_DEGREES = 35.0
MAX_NOSE_OFFSET = 0.30
MAX_OUTSIDE_FRACTION = 0.10


@dataclass(frozen=True)
class AlignedFace:
    """FFHQ crop of a photo.

    Attributes:
        image: the crop, square and upright.
        quad_Q2: corners of the crop in the photo, in pixels.
        landmarks_K2: 68 landmarks in the photo, in pixels.
        flags: conditions that may impair results: `small`, `uncertain`, `tilted`, `turned`,
            `outside` (of the photo) and `several_faces` (the photo shows others).
        score: score of the detector, 0 to 1.
        box: left, top, right, bottom of the face in the photo, in pixels.
        frame_Q2: corners of the photo in the crop, see `frame`; None if it covers the crop.
    """

    image: Image.Image
    quad_Q2: Array
    landmarks_K2: Array
    flags: tuple[str, ...]
    score: float
    box: tuple[float, float, float, float]
    frame_Q2: Array | None = None

    @property
    def quad(self) -> Array:
        """Corners (4, 2) of the crop in the photo, in pixels."""
        return self.quad_Q2

    @property
    def frame(self) -> Array | None:
        """Corners (4, 2) of the photo in the crop, as shares of its side; None: it covers it."""
        return self.frame_Q2


@dataclass(frozen=True)
class LeftOut:
    """Face that was detected in a photo and not taken.

    Attributes:
        box: left, top, right, bottom in the photo, in pixels.
        reason: why, in one clause.
    """

    box: tuple[float, float, float, float]
    reason: str

    def scaled(self, scale: float) -> LeftOut:
        """Return the face as it is in the photo resized by a factor."""
        left, top, right, bottom = (side * scale for side in self.box)
        return LeftOut((left, top, right, bottom), self.reason)

    def __str__(self) -> str:
        """Return size, place and reason in a line."""
        left, top, right, bottom = (round(side) for side in self.box)
        return f"{right - left} x {bottom - top} pixels at ({left}, {top}): {self.reason}"


@dataclass(frozen=True)
class FoundFaces:
    """Faces of a photo, the largest first.

    Attributes:
        faces: those taken, one at least.
        left_out: those not taken.
    """

    faces: tuple[AlignedFace, ...]
    left_out: tuple[LeftOut, ...] = ()

    def __str__(self) -> str:
        """Return the numbers of faces found and taken, and what was left out, in a line."""
        found = len(self.faces) + len(self.left_out)
        parts = [f"{found} face{'s' if found > 1 else ''} found, {len(self.faces)} taken"]
        return "; ".join([*parts, *map(str, self.left_out)])


def align_face(photo: Image.Image, size: int, *, weights_dir: Path | str) -> AlignedFace:
    """Crop the largest face of an RGB photo as FFHQ does (Karras et al., 2019).

    Args and errors: see `align_faces`.
    """
    return align_faces(photo, size, weights_dir=weights_dir, count=1).faces[0]


def align_faces(
    photo: Image.Image, size: int, *, weights_dir: Path | str, count: int | None = None
) -> FoundFaces:
    """Crop the faces of an RGB photo as FFHQ does (Karras et al., 2019), the largest first.

    Args:
        photo: RGB, upright.
        size: side of the crops in pixels.
        weights_dir: folder of the detector and the landmark model.
        count: number of faces to take at most, 1 or more; None: all.

    Raises:
        FaceError: no face, or none whose crop reaches 48 px.
        WeightsError: a model is missing or unreadable.
    """
    found = require_faces(photo, weights_dir)
    taken: list[AlignedFace] = []
    left_out: list[LeftOut] = []
    refusals: list[FaceError] = []
    for face in found:
        if len(taken) == count:
            left_out.append(LeftOut(face.box, SMALLER))
            continue
        try:
            aligned = _align(photo, face, size, weights_dir)
        except FaceError as error:
            left_out.append(LeftOut(face.box, f"{error.problem}, {error.value}"))
            refusals.append(error)
            continue
        others = ("several_faces",) if len(found) > 1 else ()
        taken.append(replace(aligned, flags=(*aligned.flags, *others)))
    if not taken:
        raise refusals[0]
    return FoundFaces(tuple(taken), tuple(left_out))


def _align(photo: Image.Image, face: Face, size: int, weights_dir: Path | str) -> AlignedFace:
    """Crop a detected face.

    Raises:
        FaceError: its crop is below 48 px, or outside of the photo.
    """
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
    crop, frame_Q2 = crop_quad(photo, quad_Q2, size), picture_frame(photo.size, quad_Q2)
    return AlignedFace(crop, quad_Q2, landmarks_K2, flags, face.score, face.box, frame_Q2)


def _flags(
    landmarks_K2: Array, quad_Q2: Array, photo_size: tuple[int, int], size: int, score: float
) -> tuple[str, ...]:
    across, side = quad_Q2[3] - quad_Q2[0], quad_side(quad_Q2)
    eyes = landmarks_K2[LEFT_EYE].mean(0), landmarks_K2[RIGHT_EYE].mean(0)
    # Position of the nose tip between the eyes, across the face: 0.5 in a frontal view.
    unit = across / side
    gap = float((eyes[1] - eyes[0]) @ unit)
    nose = float((landmarks_K2[NOSE_TIP] - eyes[0]) @ unit) / max(gap, 1e-9)
    ramp = (np.arange(16) + 0.5) / 16
    grid = (
        quad_Q2[0] + ramp[:, None, None] * across + ramp[None, :, None] * (quad_Q2[1] - quad_Q2[0])
    )
    outside = ((grid < 0) | (grid > np.array(photo_size))).any(-1).mean()
    conditions = {
        "small": side < MIN_SIZE_RATIO * size,
        "uncertain": score < MIN_SCORE,
        "tilted": abs(math.degrees(math.atan2(across[1], across[0]))) > MAX_ROLL_DEGREES,
        "turned": abs(nose - 0.5) > MAX_NOSE_OFFSET,
        "outside": outside > MAX_OUTSIDE_FRACTION,
    }
    return tuple(name for name, holds in conditions.items() if holds)
