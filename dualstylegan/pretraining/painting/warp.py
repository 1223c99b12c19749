"""Exaggeration of a face by a smooth warp, driven by its landmarks.

Legend of shape suffixes: N image, C channel, H height, W width, K landmark, 2 x and y.

Each number of a character sets a displacement within a Gaussian window around a part of the face.
Their sum is damped until the map does not fold anywhere, which makes it a diffeomorphism of the
image. Lengths are in distances between the eyes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

LEFT_EYE, RIGHT_EYE = slice(36, 42), slice(42, 48)
NOSE, MOUTH, CHIN = slice(29, 36), slice(48, 60), 8
BROWS = slice(17, 27)
# Smallest factor by which the warp may scale an area, and the damping per step to reach it.
MIN_AREA = 0.25
DAMPING = 0.9
FIXED_POINT_STEPS = 12


@dataclass(frozen=True)
class Character:
    """Exaggeration of a face; the defaults change nothing.

    Attributes:
        eyes, nose, mouth: scale of the part.
        jaw, cheeks, head: scale of the width at the chin, at the cheeks, above the brows.
        chin: downward shift of the chin.
        brows: upward shift of the brows.
        smile: upward shift of the corners of the mouth.
    """

    eyes: float = 1.0
    nose: float = 1.0
    mouth: float = 1.0
    jaw: float = 1.0
    cheeks: float = 1.0
    head: float = 1.0
    chin: float = 0.0
    brows: float = 0.0
    smile: float = 0.0

    def stretched(self, strength: float) -> Character:
        """Scale the exaggeration by `strength`."""
        neutral = Character()
        values = {}
        for field in fields(self):
            rest = getattr(neutral, field.name)
            values[field.name] = rest + strength * (getattr(self, field.name) - rest)
        return Character(**values)


def window(x: Tensor, y: Tensor, centre: Tensor, width: float, height: float) -> Tensor:
    """Return a Gaussian window, 1 at its centre."""
    return torch.exp(-(((x - centre[0]) / width) ** 2 + ((y - centre[1]) / height) ** 2) / 2)


def displacement(
    character: Character, landmarks_K2: NDArray[np.float64], size: int
) -> tuple[Tensor, Tensor]:
    """Compute the offset from each pixel to its source: x and y (H, W) in pixels."""
    points = torch.from_numpy(np.asarray(landmarks_K2)).float()
    eyes = points[LEFT_EYE].mean(0), points[RIGHT_EYE].mean(0)
    unit = float((eyes[1] - eyes[0]).norm())
    points = points / unit
    eyes = eyes[0] / unit, eyes[1] / unit
    line = torch.arange(size).float() / unit
    y, x = torch.meshgrid(line, line, indexing="ij")
    dx, dy = torch.zeros_like(x), torch.zeros_like(y)

    def scale(centre: Tensor, factor: float, width: float, height: float, across: bool) -> None:
        nonlocal dx, dy
        pull = (1 / factor - 1) * window(x, y, centre, width, height)
        dx = dx + pull * (x - centre[0])
        if not across:
            dy = dy + pull * (y - centre[1])

    def move(centre: Tensor, up: float, width: float, height: float) -> None:
        nonlocal dy
        dy = dy + up * window(x, y, centre, width, height)

    nose, mouth, chin = points[NOSE].mean(0), points[MOUTH].mean(0), points[CHIN]
    brows = points[BROWS].mean(0)
    middle = (eyes[0] + eyes[1]) / 2
    for eye in eyes:
        scale(eye, character.eyes, 0.34, 0.30, across=False)
    scale(nose, character.nose, 0.32, 0.32, across=False)
    scale(mouth, character.mouth, 0.46, 0.26, across=False)
    scale(mouth * 0.3 + chin * 0.7, character.jaw, 0.85, 0.55, across=True)
    # Below the eyes: moving the eyes apart would enlarge the FFHQ crop beyond the image.
    scale((nose + mouth) / 2, character.cheeks, 1.05, 0.45, across=True)
    scale(2 * brows - middle - torch.tensor((0.0, 0.5)), character.head, 1.2, 0.7, across=True)
    move(chin, -character.chin, 0.9, 0.45)
    move(brows, character.brows, 0.75, 0.22)
    for corner in (points[48], points[54]):
        move(corner, character.smile, 0.2, 0.2)
    return dx * unit, dy * unit


def smallest_area(dx: Tensor, dy: Tensor) -> float:
    """Return the smallest determinant of the Jacobian of the map p -> p + d(p)."""
    dxx, dxy = dx.diff(dim=1)[:-1], dx.diff(dim=0)[:, :-1]
    dyx, dyy = dy.diff(dim=1)[:-1], dy.diff(dim=0)[:, :-1]
    return float(((1 + dxx) * (1 + dyy) - dxy * dyx).min())


def warp_field(
    character: Character, landmarks_K2: NDArray[np.float64], size: int
) -> tuple[Tensor, Tensor]:
    """Compute the warp: as `displacement`, fading towards the border and folding nowhere."""
    dx, dy = displacement(character, landmarks_K2, size)
    # The warp fades out towards the border, so that no source lies outside the image.
    line = torch.arange(size).float()
    rim = (torch.minimum(line, size - 1 - line) / (0.08 * size)).clamp(0, 1)
    rim = rim * rim * (3 - 2 * rim)
    fade = rim[:, None] * rim[None, :]
    dx, dy = dx * fade, dy * fade
    while smallest_area(dx, dy) < MIN_AREA:
        dx, dy = dx * DAMPING, dy * DAMPING
    return dx, dy


def exaggerate(
    image_CHW: Tensor, landmarks_K2: NDArray[np.float64], character: Character
) -> Tensor:
    """Warp a square image (C, H, H) into a character; size and border stay unchanged.

    Args:
        image_CHW: square image of one face.
        landmarks_K2: its 68 landmarks in pixels.
        character: the exaggeration.
    """
    size = image_CHW.shape[-1]
    dx, dy = warp_field(character, landmarks_K2, size)
    line = torch.arange(size).float()
    y, x = torch.meshgrid(line, line, indexing="ij")
    grid = torch.stack((x + dx, y + dy), -1).mul(2).add(1).div(size).sub(1)
    return F.grid_sample(
        image_CHW[None], grid[None], mode="bicubic", padding_mode="reflection", align_corners=False
    )[0].clamp(-1, 1)


def moved(landmarks_K2: Tensor, character: Character, size: int) -> Tensor:
    """Compute where `exaggerate` moves points (K, 2) in pixels: the fixed point p = l - d(p)."""
    offsets_12HW = torch.stack(warp_field(character, landmarks_K2.double().numpy(), size))[None]
    points = landmarks_K2.float()
    for _ in range(FIXED_POINT_STEPS):
        grid = points.mul(2).add(1).div(size).sub(1)[None, None]
        found = F.grid_sample(offsets_12HW, grid, padding_mode="border", align_corners=False)
        points = landmarks_K2.float() - found[0, :, 0].T
    return points
