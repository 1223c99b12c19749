"""Detection of cuts from one frame to the next.

Legend of shape suffixes: B bin, H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float64]

THUMBNAIL = (32, 18)
LEVELS = 4
# Share of pixels that change their bin of colour: a cut without a doubt. Motion stays below 0.2.
CUT_SHARE = 0.45
# Correlation of brightness below which something else may be in the picture.
DOUBT_CORRELATION = 0.7


@dataclass(frozen=True)
class Change:
    """Change of a frame against the one before.

    Attributes:
        cut: another shot begins.
        doubtful: the picture has changed so much that what was tracked must be looked for.
    """

    cut: bool
    doubtful: bool


class CutDetector:
    """Comparison of each frame with the one before, by colours and by composition."""

    def __init__(self) -> None:
        self._histogram_B: Array | None = None
        self._gray_HW: Array | None = None

    def __call__(self, image: Image.Image) -> Change:
        """Return the change of an RGB frame against the last one; the first is a cut."""
        small = np.asarray(image.resize(THUMBNAIL, Image.Resampling.BOX, reducing_gap=2.0))
        bins = (small // (256 // LEVELS)).astype(int) @ (LEVELS**2, LEVELS, 1)
        histogram_B = np.bincount(bins.ravel(), minlength=LEVELS**3) / bins.size
        gray_HW = small.mean(2)
        before_B, before_HW = self._histogram_B, self._gray_HW
        self._histogram_B, self._gray_HW = histogram_B, gray_HW
        if before_B is None or before_HW is None:
            return Change(cut=True, doubtful=True)
        moved = float(np.abs(histogram_B - before_B).sum()) / 2
        alike = _correlation(gray_HW, before_HW)
        cut = moved > CUT_SHARE and alike < DOUBT_CORRELATION
        return Change(cut, cut or alike < DOUBT_CORRELATION)


def _correlation(a_HW: Array, b_HW: Array) -> float:
    """Return the correlation of two images; 1 where both are even."""
    a_HW, b_HW = a_HW - a_HW.mean(), b_HW - b_HW.mean()
    spread = float(np.sqrt((a_HW**2).sum() * (b_HW**2).sum()))
    return 1.0 if spread < 1e-6 else float((a_HW * b_HW).sum()) / spread
