"""Networks of a portrait model as functions of arrays, whatever computes them.

Legend of shape suffixes: C channel, H height, W width, L row, D style width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from PIL import Image

from dualstylegan.io.arrays import Floats

if TYPE_CHECKING:
    from dualstylegan.faces.frame import Array
    from dualstylegan.portrait.sitter import FaceFit


class PortraitNetworks(Protocol):
    """Networks that reading and restyling of photos need. Codes are (L, D), float32."""

    @property
    def rows(self) -> int:
        """Number L of rows of a code."""

    @property
    def structure_rows(self) -> int:
        """Number of leading rows that control structure."""

    @property
    def sizes(self) -> Sequence[int]:
        """Sides in pixels that `render` computes; other sizes are reduced from the next larger."""

    @property
    def digest(self) -> str:
        """SHA-256 of what decides about codes and their rendering, as hex."""

    def fit_steps(self, asked: int | None) -> int:
        """Return the number of steps of a fit; None takes the default.

        Raises:
            SettingsError: there are no such steps here.
        """

    def fit(
        self,
        face: Image.Image,
        steps: int | None,
        frame: Array | None,
        progress: Callable[[int], None] | None,
    ) -> FaceFit:
        """Fit a code to an aligned face, see `PortraitModel.fit`."""

    def map(self, code_LD: Floats) -> Floats:
        """Map a code from Z+ to W+."""

    def render(
        self,
        face_LD: Floats,
        style_LD: Floats,
        weights: Sequence[float],
        *,
        truncation: float,
        size: int,
    ) -> Floats:
        """Render G(face, style, weights) of codes in W+ as (3, size, size) in [-1, 1].

        Raises:
            SettingsError: `size` exceeds those that are rendered.
        """
