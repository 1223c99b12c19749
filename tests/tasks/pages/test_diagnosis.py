"""Diagnosis of a style set: repeats, abstract exemplars, refusals, and the word on the whole."""

from __future__ import annotations

import re

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from tasks.pages.diagnosis import (
    Diagnosis,
    Limits,
    Verdict,
    diagnose,
    duplicates,
    robust_deviations,
)
from tasks.pages.diagnosis_page import render

LIMITS = Limits(duplicate=0.97, abstract=3.0, fewest=4, refused=0.5)


def pictures(count: int) -> Tensor:
    coarse = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return F.interpolate(coarse, (64, 64), mode="bilinear")


def judged(image_NCHW: Tensor, losses: list[float], **refused: str) -> Diagnosis:
    names = [f"p{i}" for i in range(len(losses))]
    flags = {"p0": ["small"]}
    both = {"inversion": losses, "destylization": losses}
    return diagnose(names, image_NCHW, flags, both, refused, LIMITS)


def verdicts(found: Diagnosis) -> dict[str, Verdict]:
    return {one.name: one.verdict for one in found.findings}


@pytest.mark.parametrize("change", ["same", "mirrored", "brighter", "noisy", "smaller"])
def test_a_picture_given_twice_is_found(change: str) -> None:
    images = pictures(5)
    first = images[1:2]
    noise = torch.randn(first.shape, generator=torch.Generator().manual_seed(1))
    copy = {
        "same": first,
        "mirrored": first.flip(3),
        "brighter": first * 0.8 + 0.15,
        "noisy": first + 0.05 * noise,
        "smaller": F.interpolate(F.interpolate(first, (24, 24), mode="area"), (64, 64)),
    }[change]
    found = duplicates(torch.cat((images, copy)), LIMITS.duplicate)
    assert {later: earlier for later, (earlier, _) in found.items()} == {5: 1}


def test_three_copies_all_name_the_first() -> None:
    image = pictures(1)
    found = duplicates(torch.cat((image, image, image)), LIMITS.duplicate)
    assert [found[i][0] for i in (1, 2)] == [0, 0]


def test_spreads_do_not_hang_on_the_outlier() -> None:
    spreads = robust_deviations([1.0, 1.1, 0.9, 1.05, 0.95, 9.0])
    assert spreads[-1] > 50
    assert max(spreads[:-1]) < 2


def test_each_exemplar_gets_its_reason() -> None:
    images = pictures(6)
    images[5] = images[2]
    found = judged(images, [0.3, 0.31, 0.32, 0.9, 0.29, 0.32], ghost="no face")
    assert verdicts(found) == {
        "ghost": Verdict.USELESS,
        "p5": Verdict.USELESS,
        "p3": Verdict.DOUBTFUL,
        "p0": Verdict.GOOD,
        "p1": Verdict.GOOD,
        "p2": Verdict.GOOD,
        "p4": Verdict.GOOD,
    }
    reasons = {one.name: " ".join(one.reasons) for one in found.findings}
    assert "duplicate of p2" in reasons["p5"]
    assert "abstract" in reasons["p3"]
    assert "small" in reasons["p0"]
    assert reasons["p1"] == ""
    assert found.verdict is Verdict.GOOD
    assert found.reasons[0] == "4 of 7 portraits are useful for training."


def test_what_holds_for_most_is_said_once_of_the_set() -> None:
    names = [f"p{i}" for i in range(5)]
    losses = {"inversion": [1.0] * 5, "destylization": [1.0] * 5}
    flags = {name: ["small"] for name in names} | {"p2": ["small", "turned"]}
    found = diagnose(names, pictures(5), flags, losses, {}, LIMITS)
    assert any("In most portraits the face is small" in reason for reason in found.reasons)
    assert {one.name: len(one.reasons) for one in found.findings if one.reasons} == {"p2": 1}


def test_a_set_that_reaches_far_beyond_its_pictures_is_told() -> None:
    names = [f"p{i}" for i in range(5)]
    losses = {"inversion": [1.0] * 5, "destylization": [1.0] * 5}
    for outside, told in (([0.3, 0.2, 0.1, 0, 0], True), ([0.02, 0, 0, 0, 0], False), ([], False)):
        found = diagnose(names, pictures(5), {}, losses, {}, LIMITS, outside)
        remarks = [reason for reason in found.reasons if "beyond their pictures" in reason]
        assert bool(remarks) is told
        if told:
            assert "3 of 5 crops" in remarks[0]
            assert "12%" in remarks[0]


def test_small_sets_are_doubtful_and_faceless_ones_useless() -> None:
    few = judged(pictures(3), [0.3, 0.3, 0.3])
    assert few.verdict is Verdict.DOUBTFUL
    assert "memorise" in few.reasons[1]
    assert judged(pictures(1), [0.3]).verdict is Verdict.USELESS
    faceless = judged(pictures(4), [0.3] * 4, **{f"x{i}": "no face" for i in range(5)})
    assert faceless.verdict is Verdict.USELESS
    assert "no face was found" in faceless.reasons[-1]


def test_the_page_shows_every_portrait_and_stands_alone() -> None:
    images = pictures(5)
    images[4] = images[0]
    found = judged(images, [0.3] * 5, **{"<ghost>": "no <face>"})
    page = render(found, {f"p{i}": Image.new("RGB", (8, 8)) for i in range(5)})
    assert page.count("<img") == 5
    assert "This style set is fit for training." in page
    assert "&lt;ghost&gt;" in page
    assert "no &lt;face&gt;" in page
    assert not re.findall(r'(?:src|href)="(?!data:)[^"]*"', page)
