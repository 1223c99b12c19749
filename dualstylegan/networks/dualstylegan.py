"""DualStyleGAN (section 3.2): a frozen generator and an extrinsic path that restyles it.

Legend of shape suffixes: N image, L row, D style width, C channel, H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from dualstylegan.errors import DataError
from dualstylegan.networks.extrinsic import (
    ModRes,
    Weight,
    color_transform,
    structure_transform,
)
from dualstylegan.networks.generator import AfterRow, Generator, Space

Weights = Sequence[float] | Tensor


class DualStyleGAN(nn.Module):
    """G(z, s, w): the intrinsic code z draws the face, the extrinsic code s its style.

    The modules carry the published names: `generator`, `style` for T_s, and `res` for the ModRes
    block of each structure row followed by the T_c of each colour row.

    Args:
        generator: the unconditional generator; its weights are never trained here.
        channels: feature channels at each structure row.
        hidden: channels inside a ModRes block; as wide as the feature map when None.
    """

    def __init__(self, generator: Generator, channels: int = 512, hidden: int | None = None):
        super().__init__()
        dim = generator.style_dim
        self.generator = generator
        self.style = structure_transform(dim)
        blocks: list[nn.Module] = [
            ModRes(channels, dim, hidden) for _ in range(generator.structure_rows)
        ]
        colors = range(generator.structure_rows, generator.rows)
        self.res = nn.ModuleList([*blocks, *(color_transform(dim) for _ in colors)])

    @property
    def mod_res(self) -> Sequence[nn.Module]:
        """The ModRes blocks, one a structure row."""
        return self.res[: self.generator.structure_rows]  # type: ignore[return-value]

    @property
    def color_transforms(self) -> Sequence[nn.Module]:
        """T_c, one a colour row."""
        return self.res[self.generator.structure_rows :]  # type: ignore[return-value]

    def extrinsic_parameters(self) -> Iterator[nn.Parameter]:
        """What training changes: T_s, ModRes and T_c."""
        yield from self.style.parameters()
        yield from self.res.parameters()

    def extrinsic_state(self) -> dict[str, Tensor]:
        """State of the extrinsic path alone: keys `style.*` and `res.*`."""
        state = self.state_dict()
        return {k: v for k, v in state.items() if k.startswith(("style.", "res."))}

    def weights(self, structure: float = 1.0, color: float = 1.0) -> tuple[float, ...]:
        """The weight vector w with one value for the structure rows and one for the colour rows."""
        rows = self.generator.structure_rows
        return (structure,) * rows + (color,) * (self.generator.rows - rows)

    def row_weights(self, weights: Weights | None) -> list[Weight]:
        """One weight a row: floats (L,), or a tensor (L,) or (N, L) for weights of each image."""
        rows = self.generator.rows
        if weights is None:
            return [1.0] * rows
        count = weights.shape[-1] if isinstance(weights, Tensor) else len(weights)
        if count != rows:
            raise DataError("one weight a row is needed", value=count, limit=rows)
        if isinstance(weights, Tensor):
            return list(weights.unbind(-1))
        return [float(weight) for weight in weights]

    def structure_path(self, extrinsic_NLD: Tensor, weights: Sequence[Weight]) -> AfterRow:
        """What ModRes does to the features after each structure row, under T_s of the style."""
        rows = self.generator.structure_rows
        structure_NLD = self.style(extrinsic_NLD[:, :rows])

        def refine(row: int, x_NCHW: Tensor) -> Tensor:
            if row >= rows:
                return x_NCHW
            refined: Tensor = self.res[row](x_NCHW, structure_NLD[:, row], weights[row])
            return refined

        return refine

    def blend_colors(self, w_NLD: Tensor, s_NLD: Tensor, weights: Sequence[Weight]) -> Tensor:
        """Colour rows: weight * T_c(s) + (1 - weight) * w; structure rows stay w."""
        start = self.generator.structure_rows
        rows = list(w_NLD[:, :start].unbind(1))
        for row in range(start, self.generator.rows):
            weight = weights[row]
            if isinstance(weight, Tensor):
                weight = weight.view(-1, 1)
            rows.append(torch.lerp(w_NLD[:, row], self.res[row](s_NLD[:, row]), weight))
        return torch.stack(rows, 1)

    def forward(
        self,
        intrinsic: Tensor,
        extrinsic_NLD: Tensor | None,
        weights: Weights | None = None,
        *,
        space: Space = "z_plus",
        size: int | None = None,
        truncation: float = 1.0,
        noise: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """Render G(z, s, w).

        Args:
            intrinsic: codes of the faces, in `space`.
            extrinsic_NLD: style codes in W+ (mapped by the caller with `generator.map`); None
                turns the extrinsic path off and leaves the plain generator.
            weights: the weight vector w, see `row_weights`; all ones by default.
            space: space of `intrinsic`.
            size: output size in pixels, one of the generator's.
            truncation: psi for the intrinsic codes, towards the true mean of W.
            noise: noise maps of the generator.

        Returns:
            Images (N, 3, size, size), float32, nominally in [-1, 1].
        """
        generator = self.generator
        w_NLD = generator.truncate(generator.to_w_plus(intrinsic, space), truncation)
        if extrinsic_NLD is None:
            return generator.synthesise(w_NLD, size=size, noise=noise)
        row_weights = self.row_weights(weights)
        refine = self.structure_path(extrinsic_NLD, row_weights)
        blended_NLD = self.blend_colors(w_NLD, extrinsic_NLD, row_weights)
        return generator.synthesise(blended_NLD, size=size, noise=noise, after_row=refine)
