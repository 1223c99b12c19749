"""Regions of an aligned face from its 68 landmarks: where skin, beard and hair are looked for.

Legend of shape suffixes: K landmark, P corner of a polygon, 2 x and y in pixels, H, W.

Positions are given in the face's own axes, from the middle of the eyes, in distances between the
eyes: the regions follow the face through shift, size and tilt. Each region of one side has its
mirror image on the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from dualstylegan.faces.geometry import LEFT_EYE, RIGHT_EYE
from dualstylegan.faces.shape import MIRRORED, Array

# The two sides of a face: the image's left and right.
SIDES = (-1, 1)
# Arch over the forehead, from temple to temple, in the axes of the face.
ARCH = (
    *((-1.05, -0.9), (-0.6, -1.1), (0.6, -1.1), (1.05, -0.9)),
    *((0.9, -1.2), (0.6, -1.5), (0.5, -1.6), (-0.5, -1.6), (-0.6, -1.5), (-0.9, -1.2)),
)


@dataclass(frozen=True)
class FaceAxes:
    """Landmarks with the axes of their face.

    Attributes:
        landmarks_K2: 68 landmarks in pixels.
        origin_2: middle of the eyes.
        across_2, down_2: vectors of one distance between the eyes, along the eyes and down the
            face.
    """

    landmarks_K2: Array
    origin_2: Array
    across_2: Array
    down_2: Array

    def at(self, across: float, down: float) -> Array:
        """Return a position (2,) by its coordinates in the face."""
        position_2: Array = self.origin_2 + across * self.across_2 + down * self.down_2
        return position_2

    def coordinates(self, index: int) -> Array:
        """Return the coordinates (2,) of a landmark in the face, in distances between the eyes."""
        offset_2 = self.landmarks_K2[index] - self.origin_2
        axes_22 = np.stack((self.across_2, self.down_2))
        inside_2: Array = axes_22 @ offset_2 / (self.across_2 @ self.across_2)
        return inside_2

    def between(self, first: int, second: int, share: float, side: int = -1) -> Array:
        """Return the position (2,) on the way from one landmark to another.

        Args:
            first, second: landmarks of the image's left side.
            share: of the way, 0 to 1.
            side: 1 takes their mirror images.
        """
        if side > 0:
            first, second = int(MIRRORED[first]), int(MIRRORED[second])
        start_2, end_2 = self.landmarks_K2[first], self.landmarks_K2[second]
        position_2: Array = start_2 + share * (end_2 - start_2)
        return position_2


def face_axes(landmarks_K2: Array) -> FaceAxes:
    """Return landmarks with the axes of their face."""
    eyes = [landmarks_K2[eye].mean(0) for eye in (LEFT_EYE, RIGHT_EYE)]
    across_2 = eyes[1] - eyes[0]
    down_2 = np.array([-across_2[1], across_2[0]])
    return FaceAxes(landmarks_K2, (eyes[0] + eyes[1]) / 2, across_2, down_2)


def fill(polygons: list[list[Array]], size: int) -> Tensor:
    """Rasterise polygons to a mask (H, W), True inside of any of them."""
    mask = Image.new("1", (size, size))
    draw = ImageDraw.Draw(mask)
    for corners in polygons:
        draw.polygon([(float(x), float(y)) for x, y in corners], fill=1)
    return torch.from_numpy(np.array(mask))


def cheek(face: FaceAxes, side: int) -> list[Array]:
    """Return the corners of a cheek: beneath the eye, beside the nose, above the mouth."""
    below = 0.25 * face.down_2
    return [
        face.between(36, 36, 0, side) + below,
        face.between(41, 41, 0, side) + below,
        face.between(31, 3, 0.2, side),
        face.between(31, 3, 0.7, side),
    ]


def under_eye(face: FaceAxes, side: int) -> list[Array]:
    """Return the corners of the skin beneath an eye."""
    near, far = 0.1 * face.down_2, 0.3 * face.down_2
    upper = [face.between(k, k, 0, side) + near for k in (36, 41, 40, 39)]
    return upper + [face.between(k, k, 0, side) + far for k in (40, 41)]


def moustache(face: FaceAxes) -> list[Array]:
    """Return the corners of the skin between nose and upper lip."""
    below = 0.05 * face.down_2
    upper = [face.landmarks_K2[k] + below for k in (31, 33, 35)]
    lip = [(53, 35, 0.1), (52, 34, 0.15), (51, 33, 0.15), (50, 32, 0.15), (49, 31, 0.1)]
    return upper + [face.between(*pair) for pair in lip]


def chin(face: FaceAxes) -> list[Array]:
    """Return the corners of the chin, from the lower lip to the jaw."""
    lip = [(58, 7, 0.2), (57, 8, 0.25), (56, 9, 0.2), (10, 54, 0.25)]
    jaw = [(9, 57, 0.15), (8, 57, 0.15), (7, 57, 0.15), (6, 48, 0.25)]
    return [face.between(*pair) for pair in (*lip, *jaw)]


def jaw_side(face: FaceAxes, side: int) -> list[Array]:
    """Return the corners of the skin between a corner of the mouth and the jaw."""
    pairs = [(48, 4, 0.25), (48, 4, 0.8), (5, 48, 0.15), (6, 48, 0.15), (58, 6, 0.4)]
    return [face.between(*pair, side) for pair in pairs]


def beside_temple(face: FaceAxes, side: int) -> list[Array]:
    """Return the corners of the strip beside temple and ear, where hair falls."""
    corners = ((1.0, 0.2), (1.35, 0.2), (1.35, -0.9), (1.0, -0.9))
    return [face.at(side * across, down) for across, down in corners]


def regions(face: FaceAxes, size: int) -> dict[str, Tensor]:
    """Rasterise the regions of a face in an image of `size` pixels, (H, W) each, by name."""
    both = {
        "cheeks": [cheek(face, side) for side in SIDES],
        "skin": [corners(face, side) for corners in (cheek, under_eye) for side in SIDES],
        "moustache": [moustache(face)],
        "beard": [moustache(face), chin(face), *(jaw_side(face, side) for side in SIDES)],
        "hair": [[face.at(*corner) for corner in ARCH]],
        "strands": [beside_temple(face, side) for side in SIDES],
    }
    return {name: fill(polygons, size) for name, polygons in both.items()}
