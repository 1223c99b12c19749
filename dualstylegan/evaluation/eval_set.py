"""Evaluation set: held-out faces, exemplars and their codes, restyled by any method.

Legend of shape suffixes: N, P pair of a face and an exemplar, C content face or channel,
S exemplar, L row, D style width, H, W.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dualstylegan.codes.subsets import evenly_spaced
from dualstylegan.io.images import dequantize, quantize
from dualstylegan.networks.masks import Mask
from dualstylegan.networks.threads import mapped
from dualstylegan.portrait.model import PortraitModel

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class FaceBatch:
    """Faces to restyle: Z+ codes (N, L, D) and aligned images (N, 3, H, W) in [-1, 1]."""

    code_NLD: Tensor
    image_NCHW: Tensor


@dataclass(frozen=True)
class ExemplarBatch:
    """Exemplars: extrinsic Z+ codes (N, L, D), aligned images (N, 3, H, W) in [-1, 1], masks."""

    extrinsic_NLD: Tensor
    image_NCHW: Tensor
    mask_N1HW: Mask = None


# A method of style transfer: N faces, an exemplar for each, and psi for the faces' codes, to N
# images (N, 3, H, W) in [-1, 1].
RestyleMethod = Callable[[FaceBatch, ExemplarBatch, float], Tensor]


@dataclass(frozen=True)
class EvalSet:
    """Held-out faces and exemplars with their codes.

    Attributes:
        contents, styles: names of the C faces and S exemplars.
        code_CLD: Z+ codes of the faces.
        intrinsic_SLD, extrinsic_SLD: z_i+ and z_e+ of the exemplars.
        face_CCHW, exemplar_SCHW: aligned images, uint8.
        truncation: psi for the faces' codes; reconstructions use 1.
        batch: pairs per call of a method; DualStyleGAN itself renders one by one.
        face_mask_C1HW, exemplar_mask_S1HW: of what lies inside of their pictures; None: all.
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
    face_mask_C1HW: Mask = None
    exemplar_mask_S1HW: Mask = None

    def restyle(self, method: RestyleMethod, progress: Progress) -> Tensor:
        """Render every face in every style, uint8 (C, S, 3, H, W)."""
        rows = []
        for done in range(len(self.contents)):
            pairs = [(done, column) for column in range(len(self.styles))]
            rows.append(self.restyle_pairs(method, pairs))
            progress("faces restyled", done + 1, len(self.contents))
        return torch.stack(rows)

    def restyle_pairs(
        self,
        method: RestyleMethod,
        pairs: Sequence[tuple[int, int]],
        progress: Callable[[int], None] = lambda done: None,
    ) -> Tensor:
        """Render P pairs of a face and an exemplar, by index, uint8 (P, 3, H, W).

        `progress` is called with the number of pairs done after each forward pass.
        """
        rows, columns = [row for row, _ in pairs], [column for _, column in pairs]
        codes, faces = self.code_CLD[rows], self.face_CCHW[rows]
        return self._render(method, codes, faces, columns, self.truncation, progress)

    def reconstruct(self, method: RestyleMethod, natural_SCHW: Tensor) -> Tensor:
        """Render each exemplar from its own intrinsic and extrinsic codes, uint8 (S, 3, H, W).

        Args:
            natural_SCHW: uint8 images of g(z_i+), for methods that start from an image.
        """
        every = list(range(len(self.styles)))
        return self._render(method, self.intrinsic_SLD, natural_SCHW, every, 1.0)

    def _render(
        self,
        method: RestyleMethod,
        code_NLD: Tensor,
        face_NCHW: Tensor,
        styles: Sequence[int],
        truncation: float,
        progress: Callable[[int], None] = lambda done: None,
    ) -> Tensor:
        """Render N faces, each in the style of the exemplar of an index."""
        device = code_NLD.device

        def render(start: int) -> Tensor:
            part = slice(start, start + self.batch)
            columns = list(styles[part])
            faces = FaceBatch(code_NLD[part], dequantize(face_NCHW[part].to(device)))
            images = dequantize(self.exemplar_SCHW[columns].to(device))
            mask = self.exemplar_mask_S1HW
            mask = None if mask is None else mask[columns].to(device)
            exemplars = ExemplarBatch(self.extrinsic_SLD[columns], images, mask)
            return quantize(method(faces, exemplars, truncation)).cpu()

        parts: list[Tensor] = []
        for images_NCHW in mapped(render, range(0, len(styles), self.batch), device):
            parts.append(images_NCHW)
            progress(min(len(parts) * self.batch, len(styles)))
        return torch.cat(parts)


def dualstylegan(
    model: PortraitModel, size: int, structure: float | None = None, color: float | None = None
) -> RestyleMethod:
    """Return G(z_i+, z_e+, w) of a packaged model as a method of style transfer.

    Args:
        model: the packaged model.
        size: of the images, in pixels.
        structure, color: style weights; None takes the model's defaults.
    """

    def restyle(faces: FaceBatch, exemplars: ExemplarBatch, truncation: float) -> Tensor:
        return model.render(
            faces.code_NLD,
            exemplars.extrinsic_NLD,
            structure=structure,
            color=color,
            truncation=truncation,
            size=size,
        )

    return restyle


def render_faces(
    model: PortraitModel, code_NLD: Tensor, *, truncation: float, size: int, batch: int
) -> Tensor:
    """Render faces of Z+ codes (N, L, D) with g, without a style, uint8 (N, 3, size, size)."""

    def render(codes_NLD: Tensor) -> Tensor:
        return quantize(model.render(codes_NLD, None, truncation=truncation, size=size)).cpu()

    return torch.cat(list(mapped(render, torch.split(code_NLD, batch), model.device)))


def spread_pairs(faces: int, styles: int, wanted: int) -> list[tuple[int, int]]:
    """Choose `wanted` different pairs of a face and a style, evenly spaced over both.

    Args:
        faces, styles: their numbers, at least 1.
        wanted: number of pairs; fewer are returned if there are no more.
    """
    wanted = min(wanted, faces * styles)
    if not wanted:
        return []
    rows, columns = evenly_spaced(faces, wanted), evenly_spaced(styles, wanted)
    # After this many diagonal steps the pairs would repeat; the next round starts a style later.
    round_ = math.lcm(len(rows), len(columns))
    return [(rows[i % len(rows)], columns[(i + i // round_) % len(columns)]) for i in range(wanted)]


def ring_pairs(count: int, wanted: int, seed: int) -> list[tuple[int, int]]:
    """Choose `wanted` pairs of `count` items: all pairs, or rings that use each item equally.

    Args:
        count: number of items.
        wanted: number of pairs; fewer are returned if there are no more.
        seed: of the order of the items in the rings.
    """
    every = [(a, b) for a in range(count) for b in range(a + 1, count)]
    if wanted >= len(every):
        return every
    order = np.random.default_rng(seed).permutation(count)
    pairs = []
    for step in range(1, count // 2 + 1):
        for position in range(count):
            a, b = order[position], order[(position + step) % count]
            pair = (int(min(a, b)), int(max(a, b)))
            if pair not in pairs:
                pairs.append(pair)
            if len(pairs) == wanted:
                return pairs
    return pairs
