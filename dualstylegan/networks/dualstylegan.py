"""DualStyleGAN (section 3.2): a frozen generator and an extrinsic style path.

Legend of shape suffixes: N image, L row, D style width, C channel, H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from dualstylegan.errors import DataError
from dualstylegan.networks.extrinsic import (
    ModRes,
    ToneTransform,
    Weight,
    color_transform,
    structure_transform,
)
from dualstylegan.networks.generator import AfterRow, Generator, Space

Weights = Sequence[float] | Tensor


class DualStyleGAN(nn.Module):
    """G(z, s, w): the intrinsic code z controls the face, the extrinsic code s its style.

    The modules carry the published names: `generator`, `style` for T_s, and `res` for the ModRes
    block of each structure row followed by the T_c of each colour row. Beyond the paper, `tone`
    carries light and dark of the face into the exemplar's colours; with a rank of 0 it is empty.

    Args:
        generator: the unconditional generator; its weights are never trained here.
        channels: feature channels at each structure row.
        hidden: channels inside a ModRes block; `channels` by default.
        tone_rank: rank of the tone's maps; 0 as in the paper, without.
    """

    def __init__(
        self,
        generator: Generator,
        channels: int = 512,
        hidden: int | None = None,
        tone_rank: int = 0,
    ) -> None:
        super().__init__()
        dim = generator.style_dim
        self.generator = generator
        self.style = structure_transform(dim)
        blocks: list[nn.Module] = [
            ModRes(channels, dim, hidden) for _ in range(generator.structure_rows)
        ]
        colors = range(generator.structure_rows, generator.rows)
        self.res = nn.ModuleList([*blocks, *(color_transform(dim) for _ in colors)])
        self.tone = nn.ModuleList(ToneTransform(dim, tone_rank) for _ in colors if tone_rank)

    @property
    def mod_res(self) -> Sequence[nn.Module]:
        """ModRes blocks, one per structure row."""
        return self.res[: self.generator.structure_rows]  # type: ignore[return-value]

    @property
    def color_transforms(self) -> Sequence[nn.Module]:
        """Colour transforms T_c, one per colour row."""
        return self.res[self.generator.structure_rows :]  # type: ignore[return-value]

    def extrinsic_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the trainable parameters: T_s, ModRes, T_c and tone."""
        for part in (self.style, self.res, self.tone):
            yield from part.parameters()

    def extrinsic_state(self) -> dict[str, Tensor]:
        """Return the state of the extrinsic path alone: keys `style.*`, `res.*`, `tone.*`."""
        state = self.state_dict()
        return {k: v for k, v in state.items() if k.startswith(("style.", "res.", "tone."))}

    def weights(self, structure: float = 1.0, color: float = 1.0) -> tuple[float, ...]:
        """Return the weight vector w (L,): one value for structure rows, one for colour rows."""
        rows = self.generator.structure_rows
        return (structure,) * rows + (color,) * (self.generator.rows - rows)

    def row_weights(self, weights: Weights | None) -> list[Weight]:
        """Split w into one weight per row: floats, or tensors () or (N,) for weights per image.

        Args:
            weights: L floats, or a tensor (L,) or (N, L); all ones if None.

        Raises:
            DataError: the number of weights is not L.
        """
        rows = self.generator.rows
        if weights is None:
            return [1.0] * rows
        count = weights.shape[-1] if isinstance(weights, Tensor) else len(weights)
        if count != rows:
            raise DataError(
                "the weight vector does not have one weight per row",
                value=count,
                limit=rows,
                fix="give one weight per row",
            )
        if isinstance(weights, Tensor):
            return list(weights.unbind(-1))
        return [float(weight) for weight in weights]

    def structure_path(self, extrinsic_NLD: Tensor, weights: Sequence[Weight]) -> AfterRow:
        """Return the hook that applies ModRes, styled by T_s, after each structure row.

        Args:
            extrinsic_NLD: style codes in W+.
            weights: one weight per row.
        """
        rows = self.generator.structure_rows
        structure_NLD = self.style(extrinsic_NLD[:, :rows])

        def modulate(row: int, x_NCHW: Tensor) -> Tensor:
            if row >= rows:
                return x_NCHW
            modulated: Tensor = self.res[row](x_NCHW, structure_NLD[:, row], weights[row])
            return modulated

        return modulate

    def blend_colors(self, w_NLD: Tensor, s_NLD: Tensor, weights: Sequence[Weight]) -> Tensor:
        """Blend the colour rows, weight * color(w, s) + (1 - weight) * w; keep w in others."""
        start = self.generator.structure_rows
        rows = list(w_NLD[:, :start].unbind(1))
        for row in range(start, self.generator.rows):
            weight = weights[row]
            if isinstance(weight, Tensor):
                weight = weight.view(-1, 1)
            color_ND = self._color(row, w_NLD[:, row], s_NLD[:, row])
            rows.append(torch.lerp(w_NLD[:, row], color_ND, weight))
        return torch.stack(rows, 1)

    def _color(self, row: int, w_ND: Tensor, s_ND: Tensor) -> Tensor:
        """Return T_c(s), plus the tone of the face."""
        color_ND: Tensor = self.res[row](s_ND)
        if not self.tone:
            return color_ND
        tone_ND: Tensor = self.tone[row - self.generator.structure_rows](
            w_ND - self.generator.mean_w
        )
        return color_ND + tone_ND

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
            intrinsic: codes of the faces: (N, L, D) in Z+ or W+, (N, D) in Z or W.
            extrinsic_NLD: style codes in W+ (mapped by the caller with `generator.map`); None
                bypasses the extrinsic path.
            weights: the weight vector w, see `row_weights`; all ones by default.
            space: space of `intrinsic`.
            size: output size in pixels, one of the generator's.
            truncation: psi for the intrinsic codes, towards the true mean of W.
            noise: noise maps, see `Generator.synthesise`.

        Returns:
            Images (N, 3, size, size), float32, nominally in [-1, 1].

        Raises:
            DataError: codes, weights or size do not fit the generator.
        """
        generator = self.generator
        w_NLD = generator.truncate(generator.to_w_plus(intrinsic, space), truncation)
        if extrinsic_NLD is None:
            return generator.synthesise(w_NLD, size=size, noise=noise)
        row_weights = self.row_weights(weights)
        after_row = self.structure_path(extrinsic_NLD, row_weights)
        blended_NLD = self.blend_colors(w_NLD, extrinsic_NLD, row_weights)
        return generator.synthesise(blended_NLD, size=size, noise=noise, after_row=after_row)
