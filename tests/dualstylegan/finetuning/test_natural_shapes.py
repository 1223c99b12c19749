"""Separation of what a set exaggerates from what its people are like."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dualstylegan.finetuning.natural_shapes import NaturalShapes

LANDMARKS, DIRECTIONS, EXEMPLARS = 68, 6, 20
NATURAL = torch.randn(DIRECTIONS, LANDMARKS, 2, generator=torch.Generator().manual_seed(0))


def people(count: int, seed: int) -> Tensor:
    """Draw deviations of natural faces: six directions, 0.2 of the image's side in all."""
    rng = torch.Generator().manual_seed(seed)
    share = torch.tensor((3.0, 2.0, 1.0, 0.5, 0.3, 0.2)) * torch.randn(
        count, DIRECTIONS, generator=rng
    )
    return 0.005 * torch.einsum("np,pkc->nkc", share, NATURAL)


def shapes() -> NaturalShapes:
    return NaturalShapes(torch.zeros(LANDMARKS, 2), people(96, seed=1))


def distance(deviation_SK2: Tensor, style_K2: Tensor) -> float:
    """Return the mean angle's sine between deviations and a style's shift."""
    cosine_S = torch.cosine_similarity(deviation_SK2.flatten(1), style_K2.flatten()[None])
    return float((1 - cosine_S.square()).sqrt().mean())


def style_shift() -> Tensor:
    """Return a shift (K, 2) as large as a person's own deviation."""
    rng = torch.Generator().manual_seed(2)
    shift = torch.randn(LANDMARKS, 2, generator=rng)
    unit: Tensor = shift / shift.norm()
    return 0.2 * unit


@pytest.mark.parametrize("seed", range(3, 8))
def test_natural_people_exaggerate_nothing(seed: int) -> None:
    own = people(EXEMPLARS, seed)
    assert shapes().exaggerations(own).norm() < 0.2 * own.norm()


@pytest.mark.parametrize("count", [EXEMPLARS, 5])
def test_a_style_is_found_whoever_was_painted(count: int) -> None:
    deviation, style = people(count, seed=3) + style_shift(), style_shift()
    found = shapes().exaggerations(deviation)
    error, before = (distance(x, style) for x in (found, deviation))
    assert error < 0.7 * before


def test_exemplars_keep_strengths_of_their_own() -> None:
    strength = torch.linspace(0.5, 2, EXEMPLARS)[:, None, None]
    found = shapes().exaggerations(people(EXEMPLARS, seed=3) + strength * style_shift())
    length = found.flatten(1).norm(dim=1)
    assert float(torch.corrcoef(torch.stack((length, strength.flatten())))[0, 1]) > 0.9


def test_an_exemplar_without_landmarks_changes_nothing() -> None:
    deviation = people(EXEMPLARS, seed=3) + style_shift()
    missing = torch.full((1, LANDMARKS, 2), torch.nan)
    found = shapes().exaggerations(torch.cat((missing, deviation)))
    assert not found[0].any()
    assert torch.equal(found[1:], shapes().exaggerations(deviation))
    assert not shapes().exaggerations(missing).any()
