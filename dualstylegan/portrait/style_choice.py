"""Choice of a style: a name, a code in Z+, a mix of names, or a seed of the sampler.

Legend of shape suffixes: L row, D style width.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union

import numpy as np

from dualstylegan.errors import SettingsError
from dualstylegan.io.arrays import Floats, as_array
from dualstylegan.io.files import short_digest
from dualstylegan.portrait.config import check_options
from dualstylegan.portrait.styles import mix_name, mix_shares

if TYPE_CHECKING:
    from torch import Tensor

    from dualstylegan.portrait.options import RestyleOptions
    from dualstylegan.portrait.restyler import Restyler

# Name or label of a style, code (L, D) in Z+, or weights of several styles by name or label.
Style = Union[str, "Tensor", Floats, Mapping[str, float]]


@dataclass(frozen=True)
class ChosenStyle:
    """Style as the extrinsic path takes it.

    Attributes:
        code_LD: in W+.
        name: of a named style or of a mix; None for a code without a name.
        seed: of a style that the sampler drew.
    """

    code_LD: Floats
    name: str | None = None
    seed: int | None = None

    @property
    def facts(self) -> dict[str, str | None]:
        """The choice as text, by name, with the digest of the code; None where there is none."""
        return {
            "style": self.name,
            "seed": None if self.seed is None else str(self.seed),
            "style_digest": short_digest(hashlib.sha256(self.code_LD.tobytes()).hexdigest()),
        }


def choose_style(
    model: Restyler, style: Style | None, seed: int | None, options: RestyleOptions
) -> ChosenStyle:
    """Check a request and return its style: a name, a code, a mix, or a seed in place of them.

    A mix is the convex combination, in W+, of the styles' codes.

    Raises:
        SettingsError: an unknown style, weights of a mix that are negative or all zero, not
            exactly one of style and seed, or a seed or options out of their bounds.
        CheckpointError: a seed, but the model has no sampler.
    """
    options.check(model.config)
    check_options(seed=seed)
    if (style is None) == (seed is None):
        raise SettingsError("give either a style or a seed", fix="`styles.names` lists the styles")
    if seed is not None:
        return ChosenStyle(_mapped(model, model.sample_style(seed)), seed=seed)
    if isinstance(style, str):
        style = {style: 1.0}
    if isinstance(style, Mapping):
        shares = mix_shares(model.styles.names, model.styles.labels, style)
        codes = [_mapped(model, model.styles.extrinsic_of([name])[0]) for name in shares]
        mixed_LD = sum(
            (np.float32(share) * code for share, code in zip(shares.values(), codes, strict=True)),
            np.zeros_like(codes[0]),
        )
        return ChosenStyle(mixed_LD if len(codes) > 1 else codes[0], mix_name(shares))
    assert style is not None
    return ChosenStyle(_mapped(model, style))


def _mapped(model: Restyler, extrinsic_LD: Any) -> Floats:
    return model.networks.map(as_array(extrinsic_LD))
