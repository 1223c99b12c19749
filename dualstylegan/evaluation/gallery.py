"""Who sits and in what style: the pictures that a method of restyling is measured on.

Legend of shape suffixes: N pair of a face and a style, C content face, S exemplar, H, W,
L row, D style width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dualstylegan.evaluation.probe import from_bytes, to_bytes
from dualstylegan.portrait.model import PortraitModel

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Sitters:
    """Faces to restyle: Z+ codes (N, L, D) and aligned pictures (N, 3, H, W) in [-1, 1]."""

    code_NLD: Tensor
    image_NCHW: Tensor


@dataclass(frozen=True)
class Styles:
    """Exemplars: extrinsic Z+ codes (N, L, D) and aligned pictures (N, 3, H, W) in [-1, 1]."""

    extrinsic_NLD: Tensor
    image_NCHW: Tensor


# A method of restyling: faces, a style for each, and psi for the faces' codes, to pictures.
Restyle = Callable[[Sitters, Styles, float], Tensor]


@dataclass(frozen=True)
class Gallery:
    """Held-out faces and exemplars.

    Attributes:
        contents, styles: names of the C faces and S exemplars.
        code_CLD: Z+ codes of the faces; intrinsic_SLD, extrinsic_SLD: z_i+ and z_e+.
        face_CCHW, exemplar_SCHW: uint8 pictures.
        truncation: psi for held-out faces; reconstructions have 1.
        batch: pairs at once.
    """

    contents: tuple[str, ...]
    styles: tuple[str, ...]
    code_CLD: Tensor
    intrinsic_SLD: Tensor
    extrinsic_SLD: Tensor
    face_CCHW: Tensor
    exemplar_SCHW: Tensor
    truncation: float
    batch: int

    def restyle(self, method: Restyle, progress: Progress) -> Tensor:
        """Every face in every style, uint8 (C, S, 3, H, W)."""
        rows = []
        for done, (code_LD, face_CHW) in enumerate(zip(self.code_CLD, self.face_CCHW, strict=True)):
            count = len(self.styles)
            code_SLD = code_LD.expand(count, *code_LD.shape)
            face_SCHW = face_CHW.expand(count, *face_CHW.shape)
            rows.append(self._all_styles(method, code_SLD, face_SCHW, self.truncation))
            progress("faces restyled", done + 1, len(self.contents))
        return torch.stack(rows)

    def reconstruct(self, method: Restyle, natural_SCHW: Tensor) -> Tensor:
        """Each exemplar from the face behind it and its own style, uint8 (S, 3, H, W).

        Args:
            natural_SCHW: uint8 pictures of g(z_i+), for methods that start from pictures.
        """
        return self._all_styles(method, self.intrinsic_SLD, natural_SCHW, 1.0)

    def _all_styles(
        self, method: Restyle, code_SLD: Tensor, face_SCHW: Tensor, truncation: float
    ) -> Tensor:
        device = code_SLD.device
        parts = []
        for start in range(0, len(self.styles), self.batch):
            part = slice(start, start + self.batch)
            sitters = Sitters(code_SLD[part], from_bytes(face_SCHW[part].to(device)))
            exemplars = from_bytes(self.exemplar_SCHW[part].to(device))
            styles = Styles(self.extrinsic_SLD[part], exemplars)
            parts.append(to_bytes(method(sitters, styles, truncation)))
        return torch.cat(parts)


def dualstylegan(
    model: PortraitModel, size: int, structure: float | None = None, color: float | None = None
) -> Restyle:
    """G(z_i+, z_e+, w) of a packaged model; its own weights where None."""

    def restyle(sitters: Sitters, styles: Styles, truncation: float) -> Tensor:
        return model.render(
            sitters.code_NLD,
            styles.extrinsic_NLD,
            structure=structure,
            color=color,
            truncation=truncation,
            size=size,
        )

    return restyle
