"""Exaggeration of shapes: what an exemplar adds to a face's own shape, as a target of stage 3.

Legend of shape suffixes: N image, S exemplar, K landmark, C channel, H height, W width, 2 x and y
as shares of the image's side.

A caricature is its person's shape moved on, not another's. The deviation of an exemplar is its
shape less the mean face's, symmetric and without the mouth's opening:

    d_i = sym(l(S_i) - l_mean)

Its exaggeration is what of the deviation natural faces do not have (`natural_shapes`). Added to
the landmarks of any face and carried to its pixels by a thin-plate spline, it gives the exaggerated
face: the person in the exemplar's shapes, in natural colours and texture.
"""

from __future__ import annotations

from copy import copy

import numpy as np
import torch
from torch import Tensor

from dualstylegan.codes.inversion import resize_images
from dualstylegan.faces.geometry import LEFT_EYE, RIGHT_EYE
from dualstylegan.faces.plausible import LandmarkModel
from dualstylegan.faces.shape import MIRRORED
from dualstylegan.faces.warping import warp
from dualstylegan.finetuning.natural_shapes import NaturalShapes
from dualstylegan.io.images import quantize
from dualstylegan.networks.generator import Generator

# Side in pixels at which landmarks are found.
LANDMARK_PX = 256
# Random faces that stand for natural ones, and their seed.
NATURAL_FACES, NATURAL_SEED = 96, 15
LIPS, UPPER_LIP = slice(48, 68), slice(48, 55)


def find_landmarks(model: LandmarkModel, image_NCHW: Tensor) -> Tensor:
    """Find the landmarks (N, K, 2) of aligned faces in [-1, 1]; NaN without a plausible face."""
    pixels = quantize(resize_images(image_NCHW.clamp(-1, 1), LANDMARK_PX)).cpu()
    found = np.stack([model(image_CHW) for image_CHW in pixels])
    return torch.from_numpy(found / LANDMARK_PX).float()


@torch.no_grad()
def natural_shapes(generator: Generator, model: LandmarkModel, size: int) -> NaturalShapes | None:
    """Measure the shapes of random faces of g; None if it renders none with landmarks."""
    rng = torch.Generator().manual_seed(NATURAL_SEED)
    z_ND = torch.randn(NATURAL_FACES, generator.style_dim, generator=rng)
    faces = [generator(z_D[None], size=size) for z_D in z_ND.to(generator.mean_w.device)]
    found_FK2 = torch.cat([find_landmarks(model, face) for face in faces])
    found_FK2 = found_FK2[found_FK2.isfinite().all(-1).all(-1)]
    if not len(found_FK2):
        return None
    middle = torch.tensor((0.5, 0.0))
    mean_K2 = symmetric(found_FK2.mean(0) - middle) + middle
    return NaturalShapes(mean_K2, deviations(found_FK2, mean_K2))


def deviations(found_NK2: Tensor, mean_K2: Tensor) -> Tensor:
    """Return the deviations d (N, K, 2) of landmarks from the mean face; NaN where they are NaN."""
    return torch.stack(
        [keep_mouth_opening(symmetric(found_K2 - mean_K2), mean_K2) for found_K2 in found_NK2]
    )


def symmetric(shift_K2: Tensor) -> Tensor:
    """Return the mean of vectors at the landmarks and of their mirror image."""
    mirrored = shift_K2[torch.from_numpy(MIRRORED)] * torch.tensor((-1.0, 1.0))
    return (shift_K2 + mirrored) / 2


def keep_mouth_opening(shift_K2: Tensor, mean_K2: Tensor) -> Tensor:
    """Replace the lips' shifts by a similarity: a smile of the exemplar is no exaggeration.

    The mouth takes the width and the place of the exemplar's; how far it is open stays.
    """
    lips = mean_K2[LIPS]
    moved = lips + shift_K2[LIPS]
    scale = (moved[6] - moved[0]).norm() / (lips[6] - lips[0]).norm()
    centre = mean_K2[UPPER_LIP].mean(0)
    shift = shift_K2.clone()
    shift[LIPS] = shift_K2[UPPER_LIP].mean(0) + (scale - 1) * (lips - centre)
    return shift


class Exaggeration:
    """Exaggerations of a set of exemplars, applied to any face.

    Args:
        model: landmark model.
        natural: shapes of natural faces.
        exemplar_SCHW: exemplars in [-1, 1]; one without a plausible face exaggerates nothing.
        strength: factor on the exaggerations; 0 leaves every face as it is.
    """

    def __init__(
        self,
        model: LandmarkModel,
        natural: NaturalShapes,
        exemplar_SCHW: Tensor,
        strength: float = 1.0,
    ) -> None:
        self.model, self.mean_K2 = model, natural.mean_K2
        deviation_SK2 = deviations(find_landmarks(model, exemplar_SCHW), self.mean_K2)
        self.shift_SK2 = strength * natural.exaggerations(deviation_SK2)

    def of(self, index_S: Tensor) -> Exaggeration:
        """Return the exaggerations of some of the exemplars, in the given order."""
        chosen = copy(self)
        chosen.shift_SK2 = self.shift_SK2[index_S.cpu()]
        return chosen

    @torch.no_grad()
    def __call__(self, face_NCHW: Tensor, index_N: Tensor) -> Tensor:
        """Exaggerate faces.

        Args:
            face_NCHW: aligned faces in [-1, 1].
            index_N: exemplar of each.

        Returns:
            Images (N, 3, H, W) in [-1, 1]; a face without landmarks has those of the mean face.
        """
        found_NK2 = find_landmarks(self.model, face_NCHW)
        points_NK2 = torch.where(found_NK2.isfinite(), found_NK2, self.mean_K2)
        scale_N = eye_distance(points_NK2) / eye_distance(self.mean_K2)
        shift_NK2 = scale_N[:, None, None] * self.shift_SK2[index_N.cpu()]
        return warp(face_NCHW.clamp(-1, 1), points_NK2, shift_NK2)


def eye_distance(points_K2: Tensor) -> Tensor:
    """Return the distance between the eyes of landmarks (..., K, 2)."""
    left, right = (points_K2[..., eye, :].mean(-2) for eye in (LEFT_EYE, RIGHT_EYE))
    distance: Tensor = (right - left).norm(dim=-1)
    return distance
