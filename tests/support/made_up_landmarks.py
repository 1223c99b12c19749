"""68 landmarks of a made-up face with depth: it can be stretched, opened, turned and tilted."""

from __future__ import annotations

import numpy as np

from dualstylegan.evaluation.bootstrap import Array


def made_up_landmarks(
    wide: float = 1.0, high: float = 1.0, open_: float = 0.3, yaw: float = 0.0
) -> Array:
    """Landmarks (68, 2) in pixels of a symmetric face, y down, seen from the front if `yaw` is 0.

    Args:
        wide, high: stretch.
        open_: of the mouth, in the face's own units.
        yaw: in radians.
    """
    jaw = np.linspace(np.pi, 0, 17)
    lines = [
        np.stack((np.cos(jaw), 1.2 * np.sin(jaw), np.zeros(17)), 1),
        _row(-0.8, -0.2, -0.6, 5),
        _row(0.2, 0.8, -0.6, 5),
        np.stack((np.zeros(4), np.linspace(-0.4, 0.1, 4), np.linspace(0.3, 0.7, 4)), 1),
        _row(-0.2, 0.2, 0.2, 5, depth=0.45),
        _eye(-0.45),
        _eye(0.45),
        _ring(12, 0.4, 0.55, 0.12 + open_ / 2),
        _ring(8, 0.3, 0.55, 0.02 + open_ / 2),
    ]
    x, y, z = np.concatenate(lines).T
    x, y = wide * x, high * y
    turned = x * np.cos(yaw) + z * np.sin(yaw)
    return np.stack((128 + 60 * turned, 128 + 60 * y), 1)


def _row(left: float, right: float, y: float, count: int, depth: float = 0.2) -> Array:
    x = np.linspace(left, right, count)
    return np.stack((x, np.full(count, y), np.full(count, depth)), 1)


def _ring(count: int, across: float, y: float, tall: float) -> Array:
    around = np.pi - 2 * np.pi * np.arange(count) / count
    ring = (across * np.cos(around), y - tall * np.sin(around), np.full(count, 0.3))
    return np.stack(ring, 1)


def _eye(x: float) -> Array:
    eye: Array = _ring(6, 0.15, -0.35, 0.06) + np.array([x, 0, 0])
    return eye
