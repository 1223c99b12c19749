"""Generator interface of the method: a mapping network and an ordered list of styled rows.

Legend of shape suffixes: N image, L row of the code matrix, D style width, C channel, H, W.

Row 0 belongs to 4 px; each further resolution has two rows; the last row is the RGB output. Rows up
to 32 px control the structure of a face, the rest its colour (DualStyleGAN, section 3.2).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from dualstylegan.errors import DataError
from dualstylegan.networks.layers import EqualLinear, PixelNorm

Space = Literal["z", "w", "z_plus", "w_plus"]
AfterRow = Callable[[int, Tensor], Tensor]

MIN_PX = 4
STRUCTURE_PX = 32
MAPPING_LAYERS = 8


def row_resolutions(resolution: int) -> tuple[int, ...]:
    """Return the resolution in pixels of each row, for a generator of `resolution` pixels."""
    sizes = [MIN_PX]
    size = MIN_PX * 2
    while size <= resolution:
        sizes += [size, size]
        size *= 2
    return (*sizes, resolution)


def mapping_network(style_dim: int, layers: int = MAPPING_LAYERS) -> nn.Sequential:
    """Build the mapping network Z -> W: pixel norm, dense layers (StyleGAN, section 2)."""
    fully_connected = [
        EqualLinear(style_dim, style_dim, lr_mul=0.01, activate=True) for _ in range(layers)
    ]
    return nn.Sequential(PixelNorm(), *fully_connected)


class Generator(nn.Module, ABC):
    """Base of the generators: from codes to images in [-1, 1].

    Attributes:
        resolution: side of the full output in pixels.
        style_dim: width D of a code.
        resolutions: resolution of each of the L rows.
        output_sizes: sides in pixels that `synthesise` can render.
        compute_dtype: dtype of the feature maps; codes, images and weights stay float32.
        mean_w: the mean of W, the centre of truncation. Shape (D,).
        folded_scales: True if the scales of equalised layers are folded into the weights.
    """

    mean_w: Tensor
    folded_scales = False

    def __init__(self, resolution: int, style_dim: int, resolutions: Sequence[int]) -> None:
        super().__init__()
        self.resolution = resolution
        self.style_dim = style_dim
        self.resolutions = tuple(resolutions)
        self.output_sizes: tuple[int, ...] = (resolution,)
        self.compute_dtype = torch.float32
        self.register_buffer("mean_w", torch.zeros(style_dim))

    @property
    def rows(self) -> int:
        """Number L of rows of a code matrix."""
        return len(self.resolutions)

    @property
    def structure_rows(self) -> int:
        """Number of leading rows that control structure: those of at most 32 px."""
        return sum(size <= STRUCTURE_PX for size in self.resolutions[:-1])

    @abstractmethod
    def map(self, z: Tensor) -> Tensor:
        """Map z (..., D) to w (..., D); the rows of a Z+ matrix are mapped one by one."""

    @abstractmethod
    def synthesise(
        self,
        w_NLD: Tensor,
        *,
        size: int | None = None,
        noise: Sequence[Tensor] | None = None,
        after_row: AfterRow | None = None,
    ) -> Tensor:
        """Render W+ codes by the synthesis network.

        Args:
            w_NLD: one style per row.
            size: output size in pixels, one of `output_sizes`; the full resolution by default.
            noise: one map (N or 1, 1, H, W) per styled convolution; the fixed maps by default.
            after_row: hook of the extrinsic path: called with the row and the feature map after
                each row's convolution; returns the feature map to go on with.

        Returns:
            Images (N, 3, size, size), float32, nominally in [-1, 1].

        Raises:
            DataError: the generator cannot render `size`.
        """

    def to_w_plus(self, code: Tensor, space: Space) -> Tensor:
        """Convert codes of any space to W+ codes (N, L, D).

        Args:
            code: (N, D) in "z" and "w", (N, L, D) in "z_plus" and "w_plus".
            space: space of the codes.

        Raises:
            DataError: the codes do not have the shape of the space.
        """
        expected = 2 if space in ("z", "w") else 3
        if code.ndim != expected or code.shape[-1] != self.style_dim:
            raise DataError(
                f"codes do not fit the space {space}",
                value=tuple(code.shape),
                limit=("N", self.style_dim) if expected == 2 else ("N", self.rows, self.style_dim),
                fix="name the space of the codes",
            )
        w = self.map(code) if space in ("z", "z_plus") else code
        return w[:, None].expand(-1, self.rows, -1) if expected == 2 else w

    def truncate(self, w: Tensor, psi: float) -> Tensor:
        """Truncate w (..., D) towards the mean of W: mean + psi * (w - mean)."""
        return w if psi == 1 else self.mean_w + psi * (w - self.mean_w)

    def forward(
        self,
        code: Tensor,
        space: Space = "z",
        *,
        truncation: float = 1.0,
        size: int | None = None,
        noise: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """Render codes of any space: `to_w_plus`, `truncate` by psi, `synthesise`."""
        w_NLD = self.truncate(self.to_w_plus(code, space), truncation)
        return self.synthesise(w_NLD, size=size, noise=noise)

    def mix(self, first: Tensor, second: Tensor, crossover: int) -> Tensor:
        """Mix two codes at a row (style mixing; StyleGAN, section 3.1).

        Args:
            first, second: W codes (N, D) or W+ codes (N, L, D).
            crossover: number of leading rows taken from `first`, 0 to L.

        Returns:
            W+ codes (N, L, D).
        """
        rows = torch.arange(self.rows, device=first.device)[None, :, None]
        first, second = (c[:, None] if c.ndim == 2 else c for c in (first, second))
        return torch.where(rows < crossover, first, second)

    @torch.no_grad()
    def measure_mean_w(self, samples: int = 65536, seed: int = 0) -> None:
        """Set `mean_w` to the mean over `samples` mapped codes, drawn from `seed`."""
        rng = torch.Generator().manual_seed(seed)
        total = torch.zeros(self.style_dim, dtype=torch.float64)
        for start in range(0, samples, 4096):
            z = torch.randn(min(4096, samples - start), self.style_dim, generator=rng)
            total += self.map(z.to(self.mean_w.device)).double().sum(0).cpu()
        self.mean_w.copy_((total / samples).float())

    def size_up_to(self, limit: int) -> int:
        """Return the largest output size up to `limit` pixels, else the smallest."""
        return max((px for px in self.output_sizes if px <= limit), default=min(self.output_sizes))

    def check_size(self, size: int | None) -> int:
        """Return the output size, by default the full one; DataError if it cannot be rendered."""
        if size is None:
            return self.resolution
        if size not in self.output_sizes:
            raise DataError(
                "the generator cannot render this size",
                value=f"{size} px",
                limit=", ".join(f"{s} px" for s in self.output_sizes),
                fix="choose one of these sizes and resize the image",
            )
        return size
