"""What the method needs of a generator: a mapping network and an ordered list of styled rows.

Legend of shape suffixes: N image, L row of the code matrix, D style width, C channel, H, W.

Row 0 belongs to 4 px; then come two rows a resolution; the last row is the RGB output. Rows up to
32 px hold the structure of a face, the rest its colour (DualStyleGAN, section 3.2).
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
    """Resolution in pixels of each row of the code matrix of a generator of `resolution`."""
    sizes = [MIN_PX]
    size = MIN_PX * 2
    while size <= resolution:
        sizes += [size, size]
        size *= 2
    return (*sizes, resolution)


def mapping_network(style_dim: int, layers: int = MAPPING_LAYERS) -> nn.Sequential:
    """The mapping network Z -> W: pixel norm and fully connected layers (StyleGAN, section 2)."""
    fully_connected = [
        EqualLinear(style_dim, style_dim, lr_mul=0.01, activate=True) for _ in range(layers)
    ]
    return nn.Sequential(PixelNorm(), *fully_connected)


class Generator(nn.Module, ABC):
    """Base of the generators: codes in, an image in [-1, 1] out.

    Attributes:
        resolution: size of the full output in pixels.
        style_dim: width D of a code.
        resolutions: resolution of each of the L rows.
        output_sizes: sizes that `synthesise` can render.
        compute_dtype: dtype of the feature maps; codes, images and weights stay float32.
        mean_w: the mean of W, the centre of truncation. Shape (D,).
        folded_scales: whether the scales of equalised layers are folded into the weights.
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
        """Number L of rows of the code matrix."""
        return len(self.resolutions)

    @property
    def structure_rows(self) -> int:
        """Number of leading rows that hold structure: those of at most 32 px."""
        return sum(size <= STRUCTURE_PX for size in self.resolutions[:-1])

    @abstractmethod
    def map(self, z: Tensor) -> Tensor:
        """Mapping network: z (..., D) to w (..., D); rows of a Z+ matrix are mapped one by one."""

    @abstractmethod
    def synthesise(
        self,
        w_NLD: Tensor,
        *,
        size: int | None = None,
        noise: Sequence[Tensor] | None = None,
        after_row: AfterRow | None = None,
    ) -> Tensor:
        """Synthesis network.

        Args:
            w_NLD: one style a row.
            size: output size in pixels, one of `output_sizes`; the full resolution by default.
            noise: one (N or 1, 1, H, W) map a styled convolution; the fixed maps by default.
            after_row: called with the row and the feature map after each row's convolution; what
                it returns takes the map's place. The extrinsic path hooks in here.

        Returns:
            Images (N, 3, size, size), float32, nominally in [-1, 1].

        Raises:
            DataError: `size` is not one the generator can render.
        """

    def to_w_plus(self, code: Tensor, space: Space) -> Tensor:
        """Bring codes of any space to W+ (N, L, D): (N, D) for z and w, (N, L, D) for the rest."""
        expected = 2 if space in ("z", "w") else 3
        if code.ndim != expected or code.shape[-1] != self.style_dim:
            raise DataError(
                f"codes do not fit the space {space}",
                value=tuple(code.shape),
                limit=("N", self.style_dim) if expected == 2 else ("N", self.rows, self.style_dim),
                fix="name the space that the codes were made in",
            )
        w = self.map(code) if space in ("z", "z_plus") else code
        return w[:, None].expand(-1, self.rows, -1) if expected == 2 else w

    def truncate(self, w: Tensor, psi: float) -> Tensor:
        """Truncation towards the true mean of W: mean + psi * (w - mean)."""
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
        """Render codes of any space, see `to_w_plus`, `truncate` and `synthesise`."""
        w_NLD = self.truncate(self.to_w_plus(code, space), truncation)
        return self.synthesise(w_NLD, size=size, noise=noise)

    def mix(self, first: Tensor, second: Tensor, crossover: int) -> Tensor:
        """Style mixing (StyleGAN, section 3.1): rows before `crossover` from `first`.

        Args:
            first, second: W codes (N, D) or W+ codes (N, L, D).
            crossover: number of leading rows taken from `first`, 0 to L.
        """
        rows = torch.arange(self.rows, device=first.device)[None, :, None]
        first, second = (c[:, None] if c.ndim == 2 else c for c in (first, second))
        return torch.where(rows < crossover, first, second)

    @torch.no_grad()
    def measure_mean_w(self, samples: int = 65536, seed: int = 0) -> None:
        """Set `mean_w` to the mean over `samples` mapped codes, drawn from `seed`."""
        draw = torch.Generator().manual_seed(seed)
        total = torch.zeros(self.style_dim, dtype=torch.float64)
        for start in range(0, samples, 4096):
            z = torch.randn(min(4096, samples - start), self.style_dim, generator=draw)
            total += self.map(z.to(self.mean_w.device)).double().sum(0).cpu()
        self.mean_w.copy_((total / samples).float())

    def check_size(self, size: int | None) -> int:
        """Resolve and check an output size."""
        if size is None:
            return self.resolution
        if size not in self.output_sizes:
            raise DataError(
                "the generator cannot render this size",
                value=f"{size} px",
                limit=", ".join(f"{s} px" for s in self.output_sizes),
                fix="ask for one of those sizes and resize the picture",
            )
        return size
