"""Registration of a head from frame to frame: the similarity that moves its picture.

Legend of shape suffixes: Q corner of a quad, 2 x and y in pixels, H height, W width, N pixel,
T term.

Landmarks tell where a face is, with jitter; the pictures of two frames tell how it has moved, to a
small part of a pixel. The motion is that of least squares (Lucas and Kanade, 1981), linearised
about the middle of both pictures (Benhimane and Malis, 2004); a change of brightness and contrast
goes into terms of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from dualstylegan.faces.frame import Array, Pixels
from dualstylegan.faces.geometry import quad_side
from dualstylegan.faces.matte import FACE, inside_ellipse
from dualstylegan.video.smoothing import mean_share

PX = 128
ROUNDS = 3
# Move of a corner in a round, in sides, that linearisation does not reach.
TOO_FAR = 0.06
# Share of the difference of both pictures that must go, unless it is this many levels of 255.
LEFT_SHARE, FEW_LEVELS = 0.8, 6.0
MARGIN_SHARE = 0.15
# Cut-off of the landmarks' pull, and its rise with their distance in sides beyond their noise: a
# face that enters the frame is found badly at first.
ANCHOR_HERTZ = 0.3
ANCHOR_GAIN, NOISE_SHARE = 80.0, 0.02


class SteadyQuad:
    """Quad of a head through a shot: it moves as the picture does, and stays with the landmarks.

    The picture's motion has no lag and little jitter, but adds up its errors; the landmarks take
    those away, slowly, so that their jitter does not show.
    """

    def __init__(self) -> None:
        self._before: HeadPicture | None = None
        self._landmarks_Q2: Array | None = None
        self._seconds = 0.0

    def __call__(self, frame: Image.Image, landmarks_Q2: Array, seconds: float) -> Array:
        """Return the quad (4, 2) in the next frame, RGB, shown at `seconds`.

        Args:
            frame: the frame.
            landmarks_Q2: FFHQ's quad by the landmarks of the frame.
            seconds: times rise.
        """
        if self._before is None or self._landmarks_Q2 is None:
            now = FramePart(frame, landmarks_Q2).picture(landmarks_Q2)
        else:
            guess_Q2 = self._before.quad_Q2 + landmarks_Q2 - self._landmarks_Q2
            part = FramePart(frame, guess_Q2)
            found = follow(self._before, part, guess_Q2)
            moved_Q2 = guess_Q2 if found is None else found.quad_Q2
            off_Q2 = landmarks_Q2 - moved_Q2
            distance = float(np.linalg.norm(off_Q2, axis=1).mean()) / quad_side(landmarks_Q2)
            hertz = ANCHOR_HERTZ + ANCHOR_GAIN * max(0.0, distance - NOISE_SHARE)
            share = mean_share(hertz, max(seconds - self._seconds, 1e-6))
            now = part.picture(moved_Q2 + share * off_Q2)
        self._before, self._landmarks_Q2, self._seconds = now, landmarks_Q2, seconds
        return now.quad_Q2


@dataclass(frozen=True)
class HeadPicture:
    """Head in a frame, as a small picture.

    Attributes:
        levels_HW: brightness (PX, PX) in the quad.
        quad_Q2: corners of the quad in the frame.
    """

    levels_HW: Array
    quad_Q2: Array


class FramePart:
    """Surroundings of a quad in a frame, reduced, from which pictures of near quads are taken.

    Args:
        frame: RGB.
        quad_Q2: corners in it.
    """

    def __init__(self, frame: Image.Image, quad_Q2: Array) -> None:
        side = quad_side(quad_Q2)
        low = np.floor(quad_Q2.min(0) - MARGIN_SHARE * side)
        high = np.ceil(quad_Q2.max(0) + MARGIN_SHARE * side)
        self._factor = max(1, int(side / PX))
        self._low = low
        part = frame.crop((*low.astype(int).tolist(), *high.astype(int).tolist()))
        # not in whole levels, whose rounding would show as jitter
        self._part = part.convert("L").convert("F").reduce(self._factor)

    def picture(self, quad_Q2: Array) -> HeadPicture:
        """Return the picture in a quad; black beyond the frame."""
        corners_Q2 = (quad_Q2 - self._low) / self._factor
        origin = corners_Q2[0]
        across, down = (corners_Q2[3] - origin) / PX, (corners_Q2[1] - origin) / PX
        affine = (across[0], down[0], origin[0], across[1], down[1], origin[1])
        levels = self._part.transform(
            (PX, PX), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR
        )
        return HeadPicture(np.asarray(levels, np.float64), quad_Q2)


def follow(before: HeadPicture, part: FramePart, guess_Q2: Array) -> HeadPicture | None:
    """Return the head of an earlier picture in the next frame.

    Args:
        before: of the earlier frame.
        part: of the next frame.
        guess_Q2: corners of its quad there, roughly.

    Returns:
        Its picture, with the quad that has moved as the head has; None where they do not match.
    """
    inside_HW = inside_ellipse(FACE, PX) < 1
    first = now = part.picture(guess_Q2)
    for _ in range(ROUNDS):
        moved_Q2 = _moved(before.levels_HW, now, inside_HW)
        if np.abs(moved_Q2 - now.quad_Q2).max() > TOO_FAR * quad_side(now.quad_Q2):
            return None
        now = part.picture(moved_Q2)
    was, left = (_difference(before.levels_HW, x.levels_HW, inside_HW) for x in (first, now))
    return now if left < max(LEFT_SHARE * was, FEW_LEVELS) else None


def _moved(before_HW: Array, now: HeadPicture, inside_HW: Pixels) -> Array:
    """Return the quad (4, 2) that a round of least squares moves towards the earlier picture."""
    middle_HW: Array = (before_HW + now.levels_HW) / 2
    across_HW: Array = np.gradient(middle_HW, axis=1)
    down_HW: Array = np.gradient(middle_HW, axis=0)
    place = np.arange(PX) + 0.5 - PX / 2
    x_HW, y_HW = np.meshgrid(place, place)
    terms = (
        across_HW,
        down_HW,
        across_HW * x_HW + down_HW * y_HW,
        down_HW * x_HW - across_HW * y_HW,
        before_HW,
        np.ones_like(before_HW),
    )
    system_NT: Array = np.stack([term_HW[inside_HW] for term_HW in terms], 1)
    difference_N = (before_HW - now.levels_HW)[inside_HW]
    normal_TT = system_NT.T @ system_NT + 1e-6 * np.eye(len(terms))
    right, down, growth, turn, *_ = np.linalg.solve(normal_TT, system_NT.T @ difference_N)
    corners_Q2 = np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)]) * PX / 2
    spin_22 = np.array([[1 + growth, turn], [-turn, 1 + growth]])
    moved_Q2 = (corners_Q2 @ spin_22 + (right, down)) / PX + 0.5
    axes_22 = np.stack((now.quad_Q2[3] - now.quad_Q2[0], now.quad_Q2[1] - now.quad_Q2[0]))
    quad_Q2: Array = now.quad_Q2[0] + moved_Q2 @ axes_22
    return quad_Q2


def _difference(a_HW: Array, b_HW: Array, inside_HW: Pixels) -> float:
    """Return the standard deviation of the difference of two pictures."""
    return float((a_HW - b_HW)[inside_HW].std())
