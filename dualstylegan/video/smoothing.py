"""One-Euro filter (Casiez et al., 2012): smooth at rest, quick in motion.

An exponential mean whose cut-off rises with the speed of the signal: jitter of a still signal is
filtered out, and a moving one lags little.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Smoothing:
    """Parameters of a One-Euro filter.

    Attributes:
        cutoff: cut-off in Hz at rest.
        gain: rise of the cut-off in Hz per unit of speed.
        speed_cutoff: cut-off in Hz of the filter of the speed.
    """

    cutoff: float
    gain: float
    speed_cutoff: float = 1.0


class OneEuroFilter:
    """One-Euro filter of a signal of several components, which share one speed and one cut-off.

    A similarity transformation of points thus stays one: the filter of a square gives squares.

    Args:
        smoothing: the parameters.
    """

    def __init__(self, smoothing: Smoothing) -> None:
        self.smoothing = smoothing
        self._value: Array | None = None
        self._speed: Array | None = None
        self._seconds = 0.0

    def __call__(self, value: Array, seconds: float, unit: float = 1.0) -> Array:
        """Filter the next value.

        Args:
            value: components, of any shape, the same in each call.
            seconds: time of the value; times rise.
            unit: size of the value's unit of length, in which speeds are measured.
        """
        if self._value is None or self._speed is None:
            self._value, self._speed, self._seconds = value, np.zeros_like(value), seconds
            return value
        step = max(seconds - self._seconds, 1e-6)
        share = mean_share(self.smoothing.speed_cutoff, step)
        speed = (value - self._value) / (step * unit)
        self._speed = self._speed + share * (speed - self._speed)
        quickness = float(np.sqrt((self._speed**2).mean()))
        share = mean_share(self.smoothing.cutoff + self.smoothing.gain * quickness, step)
        self._value = self._value + share * (value - self._value)
        self._seconds = seconds
        return self._value


def mean_share(cutoff: float, step: float) -> float:
    """Return the weight of a new value in an exponential mean of the given cut-off in Hz."""
    ratio = 2 * math.pi * cutoff * step
    return ratio / (ratio + 1)
