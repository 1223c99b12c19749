"""The styles of a model by name: no position in a listing stands for a style.

Legend of shape suffixes: N image, S style, L row, D style width.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from dualstylegan.errors import SettingsError

CLOSE_MATCHES = 5


@dataclass(frozen=True)
class StyleLibrary:
    """Named styles: extrinsic code z_e+ and intrinsic code z_i+ of each exemplar, in Z+.

    Attributes:
        names: S names.
        extrinsic_SLD, intrinsic_SLD: codes, float32.
    """

    names: tuple[str, ...]
    extrinsic_SLD: Tensor
    intrinsic_SLD: Tensor

    def index(self, name: str) -> int:
        """Place of a style.

        Raises:
            SettingsError: there is no such style; lists close matches.
        """
        if name in self.names:
            return self.names.index(name)
        close = difflib.get_close_matches(name, self.names, CLOSE_MATCHES, cutoff=0.4)
        raise SettingsError(
            "unknown style",
            value=name,
            limit=f"one of {len(self.names)} styles",
            fix=f"did you mean {', '.join(close)}?"
            if close
            else "`dualstylegan styles` lists them",
        )

    def extrinsic_of(self, names: Sequence[str]) -> Tensor:
        """z_e+ of some styles, (N, L, D)."""
        return self.extrinsic_SLD[[self.index(name) for name in names]]

    def intrinsic_of(self, names: Sequence[str]) -> Tensor:
        """z_i+ of some styles, (N, L, D)."""
        return self.intrinsic_SLD[[self.index(name) for name in names]]
