"""Tracking of a face through a video: detection now and then, landmarks in between.

Legend of shape suffixes: K landmark, Q corner of a quad, 2 x and y in pixels.

The landmark model starts from where it found the face in the frame before, so that its jitter does
not depend on the detector's. The detector looks every few frames, and whenever the picture or the
landmarks jump, and a face that is somewhere else is another one: its track begins anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from dualstylegan.errors import FaceError
from dualstylegan.faces.align import MIN_CROP_PX
from dualstylegan.faces.detect import QUARTER_TURNS, SCORE_LIMIT, Face, detect_faces
from dualstylegan.faces.frame import Array
from dualstylegan.faces.geometry import ffhq_quad_of_landmarks, quad_side
from dualstylegan.faces.landmarks import landmarks68, landmarks_in_quad
from dualstylegan.faces.plausible import MAX_DISAGREEMENT, disagreement
from dualstylegan.video.cuts import CutDetector
from dualstylegan.video.registration import SteadyQuad

DETECT_EVERY = 5
# Least score of the detector for a face that is tracked already.
TRACKED_SCORE = 0.3
# Move of a quad's corners in a frame, in sides, above which the detector looks.
JUMP = 0.12
UPRIGHT = (0,)
# Shifts of the landmark model's box: their mean halves the jitter of its landmarks.
SHIFTS = ((0, 0), (4, 0), (-4, 0), (0, 4), (0, -4))
# One sample a pixel of the landmark crops: no more jitter than with two, and 10 ms less a frame.
OVERSAMPLING = 1


@dataclass(frozen=True)
class TrackedFace:
    """Face in a frame.

    Attributes:
        quad_Q2: corners of its FFHQ crop in the frame, steady over time.
        track: number of its track; a new one means another shot or another person.
    """

    quad_Q2: Array
    track: int


class FaceTracker:
    """Tracker of the largest face of a shot.

    Args:
        weights_dir: folder of the detector and the landmark model.
        every: frames from one detection to the next.
    """

    def __init__(self, weights_dir: Path | str, every: int = DETECT_EVERY) -> None:
        self.weights_dir, self.every = weights_dir, every
        self._cuts = CutDetector()
        self._landmarks_K2: Array | None = None
        self._motion_2 = np.zeros(2)
        self._steady = SteadyQuad()
        self._track = -1
        self._since = 0

    def follow(self, image: Image.Image, seconds: float) -> TrackedFace | None:
        """Return the tracked face of the next frame, RGB, shown at `seconds`; None: no face.

        Raises:
            WeightsError: the face models are missing or unreadable.
        """
        change = self._cuts(image)
        if change.cut:
            self._landmarks_K2 = None
        self._since += 1
        try:
            landmarks_K2 = self._locate(image, change.cut, change.doubtful)
        except FaceError:  # the quad has left the frame
            landmarks_K2 = None
        if landmarks_K2 is None or self._landmarks_K2 is None:
            self._motion_2 = np.zeros(2)
        else:
            self._motion_2 = (landmarks_K2 - self._landmarks_K2).mean(0)
        self._landmarks_K2 = landmarks_K2
        if landmarks_K2 is None:
            return None
        quad_Q2 = ffhq_quad_of_landmarks(landmarks_K2)
        if quad_side(quad_Q2) < MIN_CROP_PX:
            self._landmarks_K2 = None
            return None
        return TrackedFace(self._steady(image, quad_Q2, seconds), self._track)

    def _locate(self, image: Image.Image, cut: bool, doubtful: bool) -> Array | None:
        """Return the landmarks (68, 2) of the tracked face, or of a new one."""
        before_K2 = self._landmarks_K2
        if before_K2 is None:
            return self._begin(self._detect(image, SCORE_LIMIT, cut), image)
        before_Q2 = ffhq_quad_of_landmarks(before_K2)
        # quick motion goes on
        start_Q2 = before_Q2 + self._motion_2
        landmarks_K2 = landmarks_in_quad(image, start_Q2, self.weights_dir, SHIFTS, OVERSAMPLING)
        move = np.abs(ffhq_quad_of_landmarks(landmarks_K2) - before_Q2).max()
        if not doubtful and self._since < self.every and move < JUMP * quad_side(before_Q2):
            return landmarks_K2
        faces = self._detect(image, TRACKED_SCORE, _is_tilted(before_K2))
        if any(disagreement(landmarks_K2, face.points_K2) <= MAX_DISAGREEMENT for face in faces):
            return landmarks_K2
        # The landmarks have lost the face, but it may be near by: quick motion, not another person.
        near = [face for face in faces if _is_near(face, before_Q2)]
        if near and not doubtful:
            return landmarks68(image, near[0], self.weights_dir)
        return self._begin([face for face in faces if face.score >= SCORE_LIMIT], image)

    def _detect(self, image: Image.Image, score: float, turned: bool) -> list[Face]:
        self._since = 0
        turns = QUARTER_TURNS if turned else UPRIGHT
        return detect_faces(image, self.weights_dir, score, turns)

    def _begin(self, faces: list[Face], image: Image.Image) -> Array | None:
        """Begin a track with the largest face; return its landmarks, None without a face."""
        if not faces:
            return None
        self._track += 1
        self._landmarks_K2 = None
        self._steady = SteadyQuad()
        landmarks_K2 = landmarks68(image, faces[0], self.weights_dir)
        quad_Q2 = ffhq_quad_of_landmarks(landmarks_K2)
        return landmarks_in_quad(image, quad_Q2, self.weights_dir, SHIFTS, OVERSAMPLING)


def _is_tilted(landmarks_K2: Array) -> bool:
    """Return True if the detector may miss the face upright: more than 40 degrees of roll."""
    across, down = np.diff(ffhq_quad_of_landmarks(landmarks_K2)[[0, 3]], axis=0)[0]
    return bool(abs(np.degrees(np.arctan2(down, across))) > 40)


def _is_near(face: Face, quad_Q2: Array) -> bool:
    """Return True if the middle of a face lies in the inner half of a quad."""
    offset = face.points_K2.mean(0) - quad_Q2.mean(0)
    return bool(np.hypot(*offset) < quad_side(quad_Q2) / 4)
