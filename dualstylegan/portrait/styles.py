"""Styles of a model by name; names and labels can be looked up without torch.

Legend of shape suffixes: N image, S style, L row, D style width.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dualstylegan.errors import CheckpointError, SettingsError
from dualstylegan.io.names import MAX_NAME_BYTES, safe_name

if TYPE_CHECKING:
    import torch
    from torch import Tensor

MAX_SUGGESTIONS = 5
ALL = "all"
WEIGHTED = re.compile(r"(.+):([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)")


def find_style(names: Sequence[str], labels: Mapping[str, str], wanted: str) -> str:
    """Return the name of the style that a user means by its name or its label.

    Args:
        names: names of all styles.
        labels: text that people read, by name, of the styles where the two differ.
        wanted: a name, a label, or a text whose safe name is a name.

    Raises:
        SettingsError: there is no such style; suggests similar ones.
    """
    found = _known_style(names, labels, wanted)
    if found is not None:
        return found
    shown = [labels.get(name, name) for name in names]
    meant = wanted[:MAX_NAME_BYTES]
    similar = difflib.get_close_matches(meant, [*names, *shown], MAX_SUGGESTIONS, cutoff=0.4)
    suggestions = ", ".join(dict.fromkeys(similar))
    raise SettingsError(
        "unknown style",
        value=meant,
        limit=f"one of {len(names)} styles",
        fix=f"did you mean {suggestions}?" if similar else "`dualstylegan styles` lists them",
    )


def _known_style(names: Sequence[str], labels: Mapping[str, str], wanted: str) -> str | None:
    for name in (wanted, safe_name(wanted)):
        if name in names:
            return name
    return next((n for n, label in labels.items() if label == wanted and n in names), None)


def parse_styles(
    names: Sequence[str], labels: Mapping[str, str], texts: Sequence[str]
) -> list[dict[str, float]]:
    """Return the styles that texts ask for, each as weights by name, see `mix_shares`.

    One text stands for a style (`a`), several of them (`a,b`) or all (`all`); several texts, with
    weights or without (`a:0.6`, `b:0.4`), stand for a mix. A name or label comes before all that.

    Raises:
        SettingsError: an unknown style, a list among the parts of a mix, or a weight that is none,
            of a style alone too.
    """
    if len(texts) == 1:
        return [{name: 1.0} for name in _listed(names, labels, texts[0])]
    mix: dict[str, float] = {}
    for text in texts:
        name, weight = _weighted(names, labels, text)
        mix[name] = mix.get(name, 0.0) + weight
    mix_shares(names, labels, mix)
    return [mix]


def _listed(names: Sequence[str], labels: Mapping[str, str], text: str) -> list[str]:
    if _known_style(names, labels, text) is None:
        if text == ALL:
            return list(names)
        if "," in text:
            parts = (find_style(names, labels, part.strip()) for part in text.split(","))
            return list(dict.fromkeys(parts))
    name, weight = _weighted(names, labels, text)
    return list(mix_shares(names, labels, {name: weight}))


def _weighted(names: Sequence[str], labels: Mapping[str, str], text: str) -> tuple[str, float]:
    """Return name and weight of `name:weight`, or of a name alone."""
    match = WEIGHTED.fullmatch(text)
    if _known_style(names, labels, text) is not None or match is None:
        return find_style(names, labels, text), 1.0
    return find_style(names, labels, match[1]), float(match[2])


def mix_shares(
    names: Sequence[str], labels: Mapping[str, str], mix: Mapping[str, float]
) -> dict[str, float]:
    """Return the shares of a mix, which sum to 1, by the styles' names; those of 0 are left out.

    Raises:
        SettingsError: an unknown style, a negative or infinite weight, or no weight above 0.
    """
    shares: dict[str, float] = {}
    for text, weight in mix.items():
        name = find_style(names, labels, text)
        if not 0 <= weight < math.inf:
            raise SettingsError(
                "a style's weight in a mix",
                value=f"{text}:{weight:g}",
                limit="0 or more",
                fix="give a weight of 0 or more",
            )
        shares[name] = shares.get(name, 0.0) + weight
    total = sum(shares.values())
    if total == 0:
        raise SettingsError("the weights of a mix are all 0", fix="give one style more than 0")
    return {name: weight / total for name, weight in shares.items() if weight > 0}


def mix_name(shares: Mapping[str, float]) -> str:
    """Return the name of a style, or of a mix: `a:0.6 b:0.4`."""
    if len(shares) == 1:
        return next(iter(shares))
    return " ".join(f"{name}:{share:.4g}" for name, share in shares.items())


def file_part(name: str) -> str:
    """Return the name of a style or mix as it stands in names of files: `a-0.6+b-0.4`."""
    # no style's own name holds a colon, see `safe_name`
    return re.sub(r":([0-9.e-]+)( |$)", lambda m: f"-{m[1]}{'+' if m[2] else ''}", name)


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
                    "style codes do not fit the model",
                    value=tuple(codes.shape),
                    limit=expected,
                    fix="package the model again",
                )

    def to(self, place: torch.device | torch.dtype) -> StyleLibrary:
        """Return the styles with their codes on a device, or of a dtype."""
        extrinsic_SLD, intrinsic_SLD = self.extrinsic_SLD.to(place), self.intrinsic_SLD.to(place)
        return replace(self, extrinsic_SLD=extrinsic_SLD, intrinsic_SLD=intrinsic_SLD)
