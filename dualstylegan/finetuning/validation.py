"""Validation of stage 3 on held-out faces: scores of style and identity, and their F measure.

Legend of shape suffixes: F face, S exemplar, N pair of both, L row, D style width, E identity
width, C channel, H height, W width.

The published recipe saves several checkpoints, and the user picks one by eye. Here the F measure of
two scores picks it: a model that copies the exemplars has no identity score and one that leaves the
faces unchanged has no style score, so neither can win. Style counts more, as L_con holds the person
already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dualstylegan.finetuning.exaggeration import Exaggeration
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.identity import FaceRecognition
from dualstylegan.networks.masks import Mask
from dualstylegan.networks.style_embedding import Description, describe, join, style_distances
from dualstylegan.networks.vgg import PerceptualNetwork

SEED = 14
EPS = 1e-9
# beta of the F measure: style counts beta times as much as identity.
STYLE_BETA = 2.0


@dataclass(frozen=True)
class Panel:
    """Faces and exemplars of the validation.

    Attributes:
        faces: number of random faces, the same in every run.
        styles: maximum number of exemplars, evenly spaced in the set.
        truncation: psi of the faces; 1 does not truncate.
    """

    faces: int
    styles: int
    truncation: float


class Validation:
    """Rendering and scoring of every face of a panel in the style of every exemplar.

    Args:
        network: DualStyleGAN in training; its generator renders the unstyled faces.
        perceptual, identity: frozen feature extractor and face recognition network.
        portrait_SCHW: the exemplars in [-1, 1].
        extrinsic_SLD: their codes in W+.
        size: working size in pixels.
        panel: number of faces and their truncation.
        mask_S1HW: of what lies inside of the exemplars' pictures; the style of exemplars, and of
            images compared with them, is that of it alone.
        exaggeration: of the exemplars; identity is that of the exaggerated faces, or with None of
            the faces as they are.
    """

    @torch.no_grad()
    def __init__(
        self,
        network: DualStyleGAN,
        perceptual: PerceptualNetwork,
        identity: FaceRecognition,
        portrait_SCHW: Tensor,
        extrinsic_SLD: Tensor,
        size: int,
        panel: Panel,
        mask_S1HW: Mask = None,
        exaggeration: Exaggeration | None = None,
    ) -> None:
        self.network, self.perceptual, self.identity = network, perceptual, identity
        self.extrinsic_SLD, self.size, self.mask_S1HW = extrinsic_SLD, size, mask_S1HW
        generator = network.generator
        rng = torch.Generator().manual_seed(SEED)
        z = torch.randn(panel.faces, generator.style_dim, generator=rng).to(extrinsic_SLD.device)
        w = generator.truncate(generator.map(z), panel.truncation)
        self.face_FLD = w[:, None].expand(-1, generator.rows, -1)
        faces = [generator.synthesise(w_LD[None], size=size) for w_LD in self.face_FLD]
        # Of each face and style.
        self.identity_FSE = torch.stack([self._wanted_identity(x, exaggeration) for x in faces])
        count = len(extrinsic_SLD)
        self.exemplars = self._describe(portrait_SCHW)
        unstyled = [self._describe(face.expand(count, -1, -1, -1)) for face in faces]
        self.unstyled_distance = self._own_distance(unstyled)

    @torch.no_grad()
    def measure(self) -> dict[str, Tensor]:
        """Return `style`, `person` and `score`, each at most 1.

        style  = 1 - (style distance to the own exemplar) / (that of the unstyled faces)
        person = 1 - (identity distance to the own face) / (mean of those to the other faces)
        score  = F measure of the two
        """
        descriptions, distances = [], []
        for face_LD in self.face_FLD:
            results = self._restyle(face_LD)
            descriptions.append(self._describe(results))
            distances.append(self._identity_distances(self.identity(results)))
        style = 1 - self._own_distance(descriptions) / max(self.unstyled_distance, EPS)
        identity_FSF = torch.stack(distances)
        own = torch.eye(len(identity_FSF), dtype=torch.bool, device=identity_FSF.device)[:, None]
        own = own.expand_as(identity_FSF)
        identity = 1 - float(identity_FSF[own].mean() / identity_FSF[~own].mean())
        measures = {"style": style, "person": identity, "score": f_measure(style, identity)}
        return {name: torch.tensor(value) for name, value in measures.items()}

    def _wanted_identity(self, face_1CHW: Tensor, exaggeration: Exaggeration | None) -> Tensor:
        """Return the identity (S, E) of a face in each style's shapes."""
        count = len(self.extrinsic_SLD)
        if exaggeration is None:
            wanted: Tensor = self.identity(face_1CHW).expand(count, -1)
            return wanted
        faces = face_1CHW.expand(count, -1, -1, -1)
        exaggerated: Tensor = self.identity(exaggeration(faces, torch.arange(count)))
        return exaggerated

    def _restyle(self, face_LD: Tensor) -> Tensor:
        """Render a face in the style of every exemplar (S, 3, H, W)."""
        count = len(self.extrinsic_SLD)
        w_NLD = face_LD.expand(count, *face_LD.shape)
        return self.network(w_NLD, self.extrinsic_SLD, space="w_plus", size=self.size)  # type: ignore[no-any-return]

    def _describe(self, image_SCHW: Tensor) -> Description:
        """Describe an image per exemplar by what lies inside of the exemplar's picture."""
        return describe(self.perceptual.features(image_SCHW), image_SCHW, self.mask_S1HW)

    def _own_distance(self, descriptions: Sequence[Description]) -> float:
        """Return the mean style distance to the own exemplar, of images per face and exemplar."""
        count = len(self.exemplars)
        distance_FSS = style_distances(join(descriptions), self.exemplars).reshape(-1, count, count)
        return float(distance_FSS.diagonal(axis1=1, axis2=2).mean())

    def _identity_distances(self, identity_SE: Tensor) -> Tensor:
        """Return identity distances of a face's results to every face, per style (S, F)."""
        columns = [self.identity.distance(identity_SE, face_SE) for face_SE in self.identity_FSE]
        return torch.stack(columns, 1)


def f_measure(style: float, identity: float) -> float:
    """Return the F measure of two scores (van Rijsbergen, 1979); 0 unless both are positive.

    F = (1 + beta^2) / (beta^2 / style + 1 / identity)
    """
    if min(style, identity) <= 0:
        return 0.0
    weight = STYLE_BETA**2
    return (1 + weight) / (weight / style + 1 / identity)
