"""Geometry of a face from its 68 landmarks: structure, pose and expression, separated.

Legend of shape suffixes: N face, K landmark, 2 x and y in pixels (y points down), P figure of pose,
X figure of expression.

Yaw moves landmarks sideways in proportion to their depth, which is the same on both sides of a
face, so its effect is antisymmetric to first order. The average of a face and its mirror image is
therefore its structure, independent of yaw. Pitch is not removed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dualstylegan.faces.align import NOSE_TIP
from dualstylegan.faces.geometry import LEFT_EYE, MOUTH_CORNERS, RIGHT_EYE

LANDMARKS = 68
CHIN = 8
UPPER_LIP, LOWER_LIP = [61, 62, 63], [67, 66, 65]
# Mean differences between two of 80 generated faces (psi 0.7): yaw and pitch; opening and width of
# the mouth, opening of the eyes. Units measured on the evaluation set would depend on its few
# faces.
POSE_UNITS = (0.170, 0.101)
EXPRESSION_UNITS = (0.0905, 0.1138, 0.0635)
# Upper lid, lower lid twice, and corners of each eye.
_LIDS = (((37, 41), (38, 40), (36, 39)), ((43, 47), (44, 46), (42, 45)))
# Index of each landmark's mirror image: jaw, brows, nose, eyes, lips.
MIRRORED = np.array(
    [
        *range(16, -1, -1),
        *range(26, 16, -1),
        *range(27, 31),
        *range(35, 30, -1),
        *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
        *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),
        *(64, 63, 62, 61, 60, 67, 66, 65),
    ]
)

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]


def upright(shapes_NK2: Array) -> Complex:
    """Centre shapes and rotate them until their axis of symmetry is vertical, (N, K) as x + iy.

    The rotation that fits the mirror image to the shape (ordinary Procrustes analysis) is twice the
    roll of the head.
    """
    shape_NK = shapes_NK2[..., 0] + 1j * shapes_NK2[..., 1]
    shape_NK = shape_NK - shape_NK.mean(1, keepdims=True)
    onto_N = (shape_NK * np.conj(mirror(shape_NK))).sum(1)
    turned = shape_NK * np.exp(-0.5j * np.angle(onto_N))[:, None]
    # halving the angle leaves an ambiguity of half a turn: the chin belongs at the bottom
    upside_down = turned[:, CHIN].imag < 0
    result: Complex = np.where(upside_down[:, None], -turned, turned)
    return result


def mirror(shape_NK: Complex) -> Complex:
    """Reflect shapes (N, K) left to right, and reorder landmarks to match their new sides."""
    mirrored: Complex = -np.conj(shape_NK[:, MIRRORED])
    return mirrored


def structures(shapes_NK2: Array) -> Array:
    """Compute the symmetric part of each shape, without shift, size, roll and first-order yaw.

    Returns:
        (N, K, 2), centred, of unit norm; NaN where the shape is NaN.
    """
    shape_NK = upright(shapes_NK2)
    symmetric = (shape_NK + mirror(shape_NK)) / 2
    with np.errstate(invalid="ignore"):  # a shape of NaN
        symmetric = symmetric / np.linalg.norm(symmetric, axis=1, keepdims=True)
    return np.stack((symmetric.real, symmetric.imag), -1)


def poses(shapes_NK2: Array) -> Array:
    """Compute yaw and pitch as ratios of distances in the face, (N, P).

    Yaw: horizontal offset of the nose tip from the midpoint of the eyes, over the distance between
    the eyes. Pitch: height of the nose tip below the eyes, over the height from eyes to mouth.
    """
    shape_NK = upright(shapes_NK2)
    left, right = shape_NK[:, LEFT_EYE].mean(1), shape_NK[:, RIGHT_EYE].mean(1)
    mouth = shape_NK[:, list(MOUTH_CORNERS)].mean(1)
    eyes, nose = (left + right) / 2, shape_NK[:, NOSE_TIP]
    yaw = (nose - eyes).real / np.abs(right - left)
    pitch = (nose - eyes).imag / (mouth - eyes).imag
    return np.stack((yaw, pitch), 1)


def expressions(shapes_NK2: Array) -> Array:
    """Compute opening and width of the mouth and opening of the eyes, (N, X).

    The mouth is measured in distances between the eyes, the eyes' opening in their own width.
    """
    shape_NK = shapes_NK2[..., 0] + 1j * shapes_NK2[..., 1]
    apart = np.abs(shape_NK[:, LEFT_EYE].mean(1) - shape_NK[:, RIGHT_EYE].mean(1))
    gap = np.abs(shape_NK[:, UPPER_LIP] - shape_NK[:, LOWER_LIP]).mean(1)
    width = np.abs(shape_NK[:, MOUTH_CORNERS[0]] - shape_NK[:, MOUTH_CORNERS[1]])
    openings = []
    for *lids, corners in _LIDS:
        heights = [np.abs(shape_NK[:, upper] - shape_NK[:, lower]) for upper, lower in lids]
        across = np.abs(shape_NK[:, corners[0]] - shape_NK[:, corners[1]])
        openings.append(np.mean(heights, 0) / across)
    return np.stack((gap / apart, width / apart, np.mean(openings, 0)), 1)
