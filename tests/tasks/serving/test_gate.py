"""The gate: who becomes champion, on what evidence, and why not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dualstylegan.errors import DataError
from tasks.serving.gate import Measured, judge
from tests.support.settings import shipped

RULE = shipped().register_
FACES, STYLES = 8, 6
NOISE = np.random.default_rng(0).normal(0, 0.05, (FACES, STYLES))


def version(
    style: float = 0.4,
    identity: float = 0.5,
    *,
    each: float = 0.0,
    artefact: float = 0.0,
    measure: str = "facenet-cosine",
    faces: int = FACES,
    paired: bool = True,
) -> Measured:
    """Return a version whose results vary from pair to pair, and by `each` from version to it."""
    jitter = np.random.default_rng(round(1e4 * style)).normal(0, each, NOISE.shape) if each else 0
    own = (style + NOISE + jitter)[:faces]
    names = [(f"face {c}", f"style {s}") for c in range(faces) for s in range(STYLES)]
    pairs = pd.DataFrame(names, columns=["content", "style"]).assign(
        own_distance=own.ravel(), identity=(identity + NOISE[:faces]).ravel(), artefact=artefact
    )
    figures: dict[str, float] = {}
    for name, value in (
        ("style_distance", float(own.mean())),
        ("identity_same", float(pairs["identity"].mean())),
        ("artefact_rate", artefact),
    ):
        figures |= {name: value, f"{name}.low": value - 0.04, f"{name}.high": value + 0.04}
    return Measured("version 1", figures, pairs if paired else None, measure)


@pytest.mark.parametrize(
    ("new", "held", "promoted", "words"),
    [
        (version(), None, True, "no champion"),
        (version(0.39), version(0.40), True, "better than version 1: style_distance"),
        (version(0.40), version(0.40), False, "not better beyond chance"),
        (version(0.41), version(0.40), False, "worse"),
        # as much better in the mean, but not beyond what pairs vary by
        (version(0.39, each=0.1), version(0.40), False, "not better beyond chance"),
        (version(0.39, 0.45), version(0.40), False, "a guard fell.*identity_same"),
        (version(0.39, 0.49), version(0.40), True, "better"),
        (version(0.39, artefact=0.03), version(0.40), False, "a guard fell.*artefact_rate"),
        (version(0.39, artefact=0.01), version(0.40), True, "better"),
    ],
)
def test_the_interval_of_the_difference_decides_and_guards_hold(
    new: Measured, held: Measured | None, promoted: bool, words: str
) -> None:
    verdict = judge(new, held, RULE, seed=0, resamples=500)
    assert verdict.promoted is promoted
    assert pd.Series(verdict.reason).str.contains(words).all(), verdict.reason


def test_versions_of_other_faces_are_compared_on_common_ones() -> None:
    verdict = judge(version(0.39), version(0.40, faces=5), RULE, seed=0, resamples=500)
    assert verdict.promoted
    assert verdict.gain is not None
    assert verdict.gain.basis == "paired, 5 faces in 6 styles"
    assert verdict.gain.interval.value == pytest.approx(0.01, abs=1e-6)


def test_a_version_without_pairs_is_beaten_if_intervals_do_not_overlap() -> None:
    held = version(0.40, paired=False)
    close = judge(version(0.35), held, RULE, seed=0, resamples=500)
    assert not close.promoted
    assert "not paired" in close.reason
    assert judge(version(0.30), held, RULE, seed=0, resamples=500).promoted


def test_identity_by_another_network_is_no_guard() -> None:
    held = version(0.40, 0.9, measure="dlib-distance")
    verdict = judge(version(0.39, 0.3), held, RULE, seed=0, resamples=500)
    assert verdict.promoted
    assert verdict.left_out == ("identity_same",)
    by_identity = RULE.model_copy(update={"measure": "identity_same"})
    assert judge(version(0.39, 0.3), held, by_identity, seed=0, resamples=500).promoted


def test_a_measure_that_was_not_taken_is_named() -> None:
    new = Measured("version 2", {"identity_same": 0.5}, None, "facenet-cosine")
    with pytest.raises(DataError, match=r"style_distance.*identity_same.*register\.measure"):
        judge(new, None, RULE, seed=0, resamples=500)
