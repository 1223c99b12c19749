"""What the paper argues for, left out one at a time (section 4, ablation study)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Ablation:
    """One part of the method left out of stage 3.

    Attributes:
        name: for people.
        pairs: whether z_i+ comes from destylization; else z_e+ takes its place.
        structure_transfer: whether stage 2 came before; else stage 3 starts from stage 1.
        weights: weights of stage 3 that are other than those of the method, by their settings.
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
# Not a training: the complete one, its exemplars' codes tuned on it afterwards.
REFINED = "complete, refined"
