"""Styles of a model by name; names and labels can be looked up without torch.

Legend of shape suffixes: N image, S style, L row, D style width.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dualstylegan.errors import CheckpointError, SettingsError
from dualstylegan.io.names import safe_name

if TYPE_CHECKING:
    import torch
    from torch import Tensor

MAX_SUGGESTIONS = 5


def find_style(names: Sequence[str], labels: Mapping[str, str], wanted: str) -> str:
    """Return the name of the style that a user means by its name or its label.

    Args:
        names: names of all styles.
        labels: text that people read, by name, of the styles where the two differ.
        wanted: a name, a label, or a text whose safe name is a name.

    Raises:
        SettingsError: there is no such style; suggests similar ones.
    """
    for name in (wanted, safe_name(wanted)):
        if name in names:
            return name
    for name, label in labels.items():
        if label == wanted and name in names:
            return name
    shown = [labels.get(name, name) for name in names]
    similar = difflib.get_close_matches(wanted, [*names, *shown], MAX_SUGGESTIONS, cutoff=0.4)
    suggestions = ", ".join(dict.fromkeys(similar))
    raise SettingsError(
        "unknown style",
        value=wanted,
        limit=f"one of {len(names)} styles",
        fix=f"did you mean {suggestions}?" if similar else "`dualstylegan styles` lists them",
    )


@dataclass(frozen=True)
class StyleLibrary:
    """Named styles: extrinsic code z_e+ and intrinsic code z_i+ of each exemplar, in Z+.

    Attributes:
        names: S names.
        extrinsic_SLD, intrinsic_SLD: codes, float32.
        labels: text that people read, by name, of the styles where the two differ.
    """

    names: tuple[str, ...]
    extrinsic_SLD: Tensor
    intrinsic_SLD: Tensor
    labels: Mapping[str, str] = field(default_factory=dict)

    def index(self, style: str) -> int:
        """Return the row of a style in the code tables.

        Args:
            style: a name or a label, see `find_style`.

        Raises:
            SettingsError: there is no such style.
        """
        return self.names.index(find_style(self.names, self.labels, style))

    def name(self, style: str) -> str:
        """Return the name of a style, see `index`."""
        return self.names[self.index(style)]

    def extrinsic_of(self, styles: Sequence[str]) -> Tensor:
        """Return z_e+ of some styles, (N, L, D)."""
        return self.extrinsic_SLD[[self.index(style) for style in styles]]

    def intrinsic_of(self, styles: Sequence[str]) -> Tensor:
        """Return z_i+ of some styles, (N, L, D)."""
        return self.intrinsic_SLD[[self.index(style) for style in styles]]

    def check_shape(self, rows: int, width: int) -> None:
        """Refuse codes that are not of L = `rows` rows and of width D = `width`.

        Raises:
            CheckpointError: names the shapes.
        """
        expected = (len(self.names), rows, width)
        for codes in (self.extrinsic_SLD, self.intrinsic_SLD):
            if tuple(codes.shape) != expected:
                raise CheckpointError(
                    "style codes do not fit the model", value=tuple(codes.shape), limit=expected
                )

    def to(self, device: torch.device) -> StyleLibrary:
        """Return the styles with their codes on a device."""
        extrinsic_SLD, intrinsic_SLD = self.extrinsic_SLD.to(device), self.intrinsic_SLD.to(device)
        return replace(self, extrinsic_SLD=extrinsic_SLD, intrinsic_SLD=intrinsic_SLD)
