"""Diagnosis of a style set before stage 3: useful and useless exemplars, and the set as a whole.

Legend of shape suffixes: N image, C channel, H height, W width.

It uses what is known by then: remarks of the alignment, duplicates, and the loss of destylization,
which tells how abstract a portrait is compared with the rest of its set.
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
# Standard deviation of normally distributed values over their median absolute deviation.
DEVIATIONS = 1.4826
FLAGS = {
    "small": "the face is small, so its crop was enlarged",
    "uncertain": "the face detector is not certain of the face",
    "tilted": "the head is tilted",
    "turned": "the head is turned away",
    "outside": "the crop extends beyond the image; what lies outside counts in no loss",
    "several_faces": "the image shows several faces; the largest was used",
}
# A remark on at least this share of the exemplars is made once, on the set.
COMMON_SHARE = 0.8
# Share of all crops outside of their pictures that is worth a remark on the set.
MUCH_OUTSIDE = 0.05
ABSTRACT = "more abstract than the rest: its destylized face is a guess and may mislead training"


class Verdict(Enum):
    """Usefulness of an exemplar or of a whole set for training."""

    GOOD = "good"
    DOUBTFUL = "doubtful"
    USELESS = "useless"


@dataclass(frozen=True)
class Limits:
    """Thresholds of the diagnosis.

    Attributes:
        duplicate: correlation of two thumbnails above which one is a duplicate.
        abstract: destylization loss above which an exemplar is too abstract, in robust standard
            deviations above the set's median.
        fewest: number of exemplars below which the discriminator may memorise them.
        refused: share of portraits without a usable face above which the set is useless.
    """

    duplicate: float
    abstract: float
    fewest: int
    refused: float


@dataclass(frozen=True)
class Finding:
    """Verdict on an exemplar, with reasons in words and the figures behind them."""

    name: str
    verdict: Verdict
    reasons: tuple[str, ...]
    figures: Mapping[str, float]


@dataclass(frozen=True)
class Diagnosis:
    """Verdict on the set with reasons, and findings on each portrait, the worst ones first."""

    verdict: Verdict
    reasons: tuple[str, ...]
    findings: tuple[Finding, ...]


def duplicates(image_NCHW: Tensor, limit: float) -> dict[int, tuple[int, float]]:
    """Find images that repeat an earlier one, mirrored or not.

    Returns:
        Index of the first of its kind and correlation with the nearest one, by index.
    """
    small = F.interpolate(image_NCHW.float(), (THUMBNAIL_PX,) * 2, mode="area")
    centred = small - small.mean((1, 2, 3), keepdim=True)
    flat, mirrored = (F.normalize(x.flatten(1)) for x in (centred, centred.flip(3)))
    alike = torch.maximum(flat @ flat.T, flat @ mirrored.T)
    first_and_correlation: dict[int, tuple[int, float]] = {}
    for index in range(1, len(alike)):
        nearest = int(alike[index, :index].argmax())
        correlation = float(alike[index, nearest])
        if correlation > limit:
            first = first_and_correlation.get(nearest, (nearest, 0.0))[0]
            first_and_correlation[index] = first, correlation
    return first_and_correlation


def robust_deviations(values: Sequence[float]) -> list[float]:
    """Compute how far each value lies above the median, in robust standard deviations."""
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
    outside: Sequence[float] = (),
) -> Diagnosis:
    """Judge a style set.

    Args:
        names: N aligned exemplars.
        image_NCHW: their images.
        flags: remarks of the alignment on each, see `FLAGS`.
        losses: `inversion` and `destylization` of each, in the order of the names.
        refused: reasons why portraits have no usable face, by name.
        limits: thresholds.
        outside: share of each crop that lies outside of its picture; empty: not known.
    """
    copies = duplicates(image_NCHW, limits.duplicate)
    abstract = robust_deviations(losses["destylization"])
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
            repeated = f"duplicate of {names[first]} (correlation {correlation:.2f})"
            verdict, reasons = Verdict.USELESS, [repeated, *reasons]
        figures = {"abstract": abstract[i], **{key: float(v[i]) for key, v in losses.items()}}
        findings.append(Finding(name, verdict, tuple(reasons), figures))
    order = [Verdict.USELESS, Verdict.DOUBTFUL, Verdict.GOOD]
    findings.sort(key=lambda finding: (order.index(finding.verdict), finding.name))
    verdict, set_reasons = _judge_set(findings, len(refused), limits)
    set_reasons += tuple(f"In most portraits {FLAGS[flag]}." for flag in common)
    set_reasons += _remark_outside(outside)
    return Diagnosis(verdict, set_reasons, tuple(findings))


def _remark_outside(outside: Sequence[float]) -> tuple[str, ...]:
    """Return a remark on the set if much of its crops lies outside of their pictures."""
    share = sum(outside) / max(len(outside), 1)
    if share < MUCH_OUTSIDE:
        return ()
    beyond = sum(value > 0 for value in outside)
    return (
        f"{beyond} of {len(outside)} crops reach beyond their pictures, by {share:.0%} of the area "
        "of all: nothing is learnt from there, so hair and background have fewer examples. "
        "Portraits with more room around the head help.",
    )


def _judge_set(
    findings: Sequence[Finding], refused: int, limits: Limits
) -> tuple[Verdict, tuple[str, ...]]:
    """Return the verdict on the set and all reasons for it."""
    count = len(findings)
    good = sum(finding.verdict is Verdict.GOOD for finding in findings)
    reasons = [f"{good} of {count} portraits are useful for training."]
    verdict = Verdict.GOOD
    if good < limits.fewest:
        verdict = Verdict.DOUBTFUL
        reasons.append(
            f"Fewer than {limits.fewest}: the discriminator may memorise them. "
            "Add portraits of the same artist or kind."
        )
    if good < 2:
        verdict = Verdict.USELESS
        reasons.append("Style transfer needs at least two different exemplars.")
    if refused > limits.refused * count:
        verdict = Verdict.USELESS
        reasons.append(
            f"In {refused} of {count} portraits no face was found: images of this kind are too "
            "different from portrait photos."
        )
    return verdict, tuple(reasons)
