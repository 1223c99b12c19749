"""Diagnosis of a style set before stage 3: which exemplars will help, and whether the set will do.

Legend of shape suffixes: N image, C channel, H height, W width.

What is known by then: whether a portrait could be aligned, whether it repeats another, and how far
destylization had to go, that is how abstract it is beside the rest of its set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from statistics import median

import torch
from torch import Tensor
from torch.nn import functional as F

THUMBNAIL_PX = 32
# Standard deviations in a median absolute deviation of normal values.
DEVIATIONS = 1.4826
FLAGS = {
    "small": "the face is small in its picture: its crop is enlarged",
    "uncertain": "the detector is not sure of the face",
    "tilted": "the head is tilted",
    "turned": "the head is turned away",
    "outside": "the crop reaches past the picture: its edge is made up",
    "several_faces": "several faces: the largest was taken",
}
# A remark on so large a share of the exemplars is one on the set.
COMMON_SHARE = 0.8
ABSTRACT = "more abstract than the rest: the face behind it is guessed, and may mislead"


class Verdict(Enum):
    """What an exemplar, or a whole set, is good for."""

    GOOD = "good"
    DOUBTFUL = "doubtful"
    USELESS = "useless"


@dataclass(frozen=True)
class Limits:
    """Where doubt begins.

    Attributes:
        duplicate: correlation of two thumbnails above which one repeats the other.
        abstract: robust standard deviations above the set's median destylization loss.
        fewest: exemplars under which the discriminator will learn them by heart.
        refused: share of portraits without a usable face above which the set will not do.
    """

    duplicate: float
    abstract: float
    fewest: int
    refused: float


@dataclass(frozen=True)
class Finding:
    """An exemplar's verdict, the reasons for it in sentences, and its figures."""

    name: str
    verdict: Verdict
    reasons: tuple[str, ...]
    figures: Mapping[str, float]


@dataclass(frozen=True)
class Diagnosis:
    """The set's verdict with reasons, and that of each portrait, the worst first."""

    verdict: Verdict
    reasons: tuple[str, ...]
    findings: tuple[Finding, ...]


def repeats(image_NCHW: Tensor, limit: float) -> dict[int, tuple[int, float]]:
    """Images that repeat an earlier one, mirrored or not: index to the first's and correlation."""
    small = F.interpolate(image_NCHW.float(), (THUMBNAIL_PX,) * 2, mode="area")
    centred = small - small.mean((1, 2, 3), keepdim=True)
    flat, mirrored = (F.normalize(x.flatten(1)) for x in (centred, centred.flip(3)))
    alike = torch.maximum(flat @ flat.T, flat @ mirrored.T)
    found: dict[int, tuple[int, float]] = {}
    for index in range(1, len(alike)):
        nearest = int(alike[index, :index].argmax())
        correlation = float(alike[index, nearest])
        if correlation > limit:
            found[index] = found.get(nearest, (nearest, 0.0))[0], correlation
    return found


def spreads_above(values: Sequence[float]) -> list[float]:
    """How far each value lies above the median, in robust standard deviations."""
    middle = median(values)
    spread = DEVIATIONS * median(abs(value - middle) for value in values)
    return [(value - middle) / max(spread, 1e-9) for value in values]


def diagnose(
    names: Sequence[str],
    image_NCHW: Tensor,
    flags: Mapping[str, Sequence[str]],
    losses: Mapping[str, Sequence[float]],
    refused: Mapping[str, str],
    limits: Limits,
) -> Diagnosis:
    """Judge a style set.

    Args:
        names: N aligned exemplars.
        image_NCHW: their pictures.
        flags: what alignment remarked of each, see `FLAGS`.
        losses: `inversion` and `destylization` of each, in the order of the names.
        refused: portraits without a usable face, and why.
        limits: where doubt begins.
    """
    copies = repeats(image_NCHW, limits.duplicate)
    abstract = spreads_above(losses["destylization"])
    remarks = [flags.get(name, ()) for name in names]
    common = [f for f in FLAGS if sum(f in r for r in remarks) >= COMMON_SHARE * len(names)]
    findings = [Finding(name, Verdict.USELESS, (why,), {}) for name, why in refused.items()]
    for i, name in enumerate(names):
        own = [flag for flag in remarks[i] if flag not in common]
        verdict, reasons = Verdict.GOOD, [FLAGS.get(flag, flag) for flag in own]
        if abstract[i] > limits.abstract:
            verdict, reasons = Verdict.DOUBTFUL, [ABSTRACT, *reasons]
        if i in copies:
            first, correlation = copies[i]
            repeated = f"repeats {names[first]} (correlation {correlation:.2f}) and adds nothing"
            verdict, reasons = Verdict.USELESS, [repeated, *reasons]
        figures = {"abstract": abstract[i], **{key: float(v[i]) for key, v in losses.items()}}
        findings.append(Finding(name, verdict, tuple(reasons), figures))
    order = [Verdict.USELESS, Verdict.DOUBTFUL, Verdict.GOOD]
    findings.sort(key=lambda found: (order.index(found.verdict), found.name))
    verdict, words = _judge_set(findings, len(refused), limits)
    words += tuple(f"Of most portraits: {FLAGS[flag]}." for flag in common)
    return Diagnosis(verdict, words, tuple(findings))


def _judge_set(
    findings: Sequence[Finding], refused: int, limits: Limits
) -> tuple[Verdict, tuple[str, ...]]:
    """The worst of what can be said of the set, and all the reasons."""
    count = len(findings)
    good = sum(found.verdict is Verdict.GOOD for found in findings)
    words = [f"{good} of {count} portraits will help."]
    verdict = Verdict.GOOD
    if good < limits.fewest:
        verdict = Verdict.DOUBTFUL
        words.append(
            f"Fewer than {limits.fewest}: the discriminator can learn them by heart. "
            "Add portraits of the same artist or kind."
        )
    if good < 2:
        verdict = Verdict.USELESS
        words.append("Style transfer needs at least two different exemplars.")
    if refused > limits.refused * count:
        verdict = Verdict.USELESS
        words.append(
            f"{refused} of {count} have no face that can be found: this kind of picture is too far "
            "from a portrait."
        )
    return verdict, tuple(words)
