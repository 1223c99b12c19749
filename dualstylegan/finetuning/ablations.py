"""Ablations of stage 3: parts of the method, left out one at a time (section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Ablation:
    """Variant of stage 3 without one part of the method.

    Attributes:
        name: name in tables and figures.
        pairs: True to use z_i+ from destylization, False to use z_e+ in its place.
        structure_transfer: True to start from stage 2, False to start from stage 1.
        weights: weights that differ from the method's, by their names in the settings.
    """

    name: str
    pairs: bool = True
    structure_transfer: bool = True
    weights: Mapping[str, float] = field(default_factory=dict)


COMPLETE = Ablation("complete")
LOSSES = {
    "adversarial": "L_adv",
    "perceptual": "L_perc",
    "contextual": "L_CX",
    "matching": "L_FM",
    "identity": "L_ID",
    "regular": "L_reg",
}
ABLATIONS = (
    COMPLETE,
    Ablation("no destylization", pairs=False),
    Ablation("no stage 2", structure_transfer=False),
    *(Ablation(f"no {term}", weights={setting: 0.0}) for setting, term in LOSSES.items()),
)
# The complete training, with the exemplars' codes refined on it: no training of its own.
REFINED = "complete, refined"
