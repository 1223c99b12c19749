"""Validation of stage 3: how far styles arrive and people stay, on faces that no step trains on.

Legend of shape suffixes: F face, S exemplar, N pair of both, L row, D style width, E identity
width, C channel, H height, W width.

The published recipe saves several checkpoints and leaves the choice to the eye. Here one score
chooses: the F measure of two shares, each measured by its own lines, so that neither a model that
copies the exemplar nor one that leaves the face as it was can score. Style counts more, since the
steering of lambda_ID looks after the person already.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.identity import Identity
from dualstylegan.networks.style_embedding import Description, describe, join, style_distances
from dualstylegan.networks.vgg import Perceptual

SEED = 14
EPS = 1e-9
# How many times as much as the person the style matters: beta of the F measure.
STYLE_MATTERS = 2.0


@dataclass(frozen=True)
class Panel:
    """Who is restyled in validation, and in what.

    Attributes:
        faces: random faces, always the same ones.
        styles: at most so many exemplars, evenly taken from the set.
        truncation: psi of the faces.
    """

    faces: int
    styles: int
    truncation: float

    def chosen(self, count: int) -> Tensor:
        """Which of `count` exemplars."""
        wanted = min(self.styles, count)
        return torch.arange(wanted) * count // wanted


class Validation:
    """Renders a panel of faces and exemplars and scores what comes out.

    Args:
        network: DualStyleGAN; its generator gives the untouched faces.
        perceptual, identity: frozen.
        portrait_SCHW: the exemplars in [-1, 1]; extrinsic_SLD: their codes in W+.
        size: working size in pixels.
        panel: see there.
    """

    @torch.no_grad()
    def __init__(
        self,
        network: DualStyleGAN,
        perceptual: Perceptual,
        identity: Identity,
        portrait_SCHW: Tensor,
        extrinsic_SLD: Tensor,
        size: int,
        panel: Panel,
    ) -> None:
        self.network, self.perceptual, self.identity = network, perceptual, identity
        self.extrinsic_SLD, self.size = extrinsic_SLD, size
        generator = network.generator
        draw = torch.Generator().manual_seed(SEED)
        z = torch.randn(panel.faces, generator.style_dim, generator=draw).to(extrinsic_SLD.device)
        w = generator.truncate(generator.map(z), panel.truncation)
        self.face_FLD = w[:, None].expand(-1, generator.rows, -1)
        faces = [generator.synthesise(w_LD[None], size=size) for w_LD in self.face_FLD]
        self.person_FE = torch.cat([identity(face) for face in faces])
        exemplars = [self._describe(portrait[None]) for portrait in portrait_SCHW]
        self.exemplars = join(exemplars)
        untouched = join([self._describe(face) for face in faces])
        self.untouched = float(style_distances(untouched, self.exemplars).mean())

    @torch.no_grad()
    def measure(self) -> dict[str, Tensor]:
        """Shares, at most 1: `style` of the way from the untouched faces to the exemplars, `person`
        of the way from strangers to the very person, and `score`, their F measure.
        """
        looks, apart = [], []
        for face_LD in self.face_FLD:
            results = self._restyle(face_LD)
            looks.append(self._describe(results))
            apart.append(self._distances(self.identity(results)))
        result = join(looks)
        count = len(self.exemplars)
        distance = style_distances(result, self.exemplars).reshape(-1, count, count)
        style = 1 - float(distance.diagonal(axis1=1, axis2=2).mean()) / max(self.untouched, EPS)
        apart_FSF = torch.stack(apart)
        own = torch.eye(len(apart_FSF), dtype=torch.bool, device=apart_FSF.device)[:, None]
        own = own.expand_as(apart_FSF)
        person = 1 - float(apart_FSF[own].mean() / apart_FSF[~own].mean())
        found = {"style": style, "person": person, "score": f_measure(style, person)}
        return {name: torch.tensor(value) for name, value in found.items()}

    def _restyle(self, face_LD: Tensor) -> Tensor:
        """A face in every style (S, 3, H, W)."""
        count = len(self.extrinsic_SLD)
        w_NLD = face_LD.expand(count, *face_LD.shape)
        return self.network(w_NLD, self.extrinsic_SLD, space="w_plus", size=self.size)  # type: ignore[no-any-return]

    def _describe(self, image_NCHW: Tensor) -> Description:
        return describe(self.perceptual.features(image_NCHW), image_NCHW)

    def _distances(self, person_NE: Tensor) -> Tensor:
        """Identity distance of every picture to every face of the panel (N, F)."""
        columns = [
            self.identity.distance(person_NE, one_E.expand_as(person_NE))
            for one_E in self.person_FE
        ]
        return torch.stack(columns, 1)


def f_measure(style: float, person: float) -> float:
    """Weighted harmonic mean of two shares (van Rijsbergen, 1979); zero unless both are above."""
    if min(style, person) <= 0:
        return 0.0
    weight = STYLE_MATTERS**2
    return (1 + weight) / (weight / style + 1 / person)
