"""Landmarks of a schematic face, and an image that shows how it is warped."""

from __future__ import annotations

import numpy as np
import torch

SIZE = 96


def face_points() -> np.ndarray:
    """Return 68 landmarks of a schematic face in a square image of SIZE pixels."""
    turn = np.linspace(np.pi, 0, 17)
    jaw = np.stack((0.5 + 0.3 * np.cos(turn), 0.45 + 0.4 * np.sin(turn)), 1)
    brows = np.stack((np.linspace(0.28, 0.72, 10), np.full(10, 0.36)), 1)
    bridge = np.stack((np.full(4, 0.5), np.linspace(0.45, 0.57, 4)), 1)
    nostrils = np.stack((np.linspace(0.45, 0.55, 5), np.full(5, 0.6)), 1)
    ring = np.linspace(0, 2 * np.pi, 6, endpoint=False)
    eyes = [
        np.stack((x - 0.05 * np.cos(ring), 0.45 + 0.02 * np.sin(ring)), 1) for x in (0.38, 0.62)
    ]
    lips = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    mouth = np.stack((0.5 - 0.1 * np.cos(lips), 0.7 + 0.03 * np.sin(lips)), 1)
    return np.concatenate((jaw, brows, bridge, nostrils, *eyes, mouth)) * SIZE


def ramps() -> torch.Tensor:
    """Return an image of the coordinates x, y and x y in [-1, 1]."""
    line = torch.linspace(-1, 1, SIZE)
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack((x, y, x * y))
