"""L_content, L_tone and L_distinction see the person, not the paint."""

from __future__ import annotations

import pytest
import torch

from dualstylegan.losses import content, distinction, tone


def picture(seed: int) -> torch.Tensor:
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_features_in_other_colours_have_the_same_content() -> None:
    features = picture(0)
    scale, shift = torch.rand(1, 3, 1, 1) + 0.5, torch.randn(1, 3, 1, 1)
    assert float(content(features, scale * features + shift).max()) < 1e-3
    assert float(content(features, picture(1)).min()) > 1


def test_tone_is_blind_to_hue_contrast_and_brightness() -> None:
    image = picture(0)
    grey = (image * torch.tensor((0.299, 0.587, 0.114)).view(1, 3, 1, 1)).sum(1, keepdim=True)
    assert float(tone(image, 0.5 * grey.expand_as(image) + 0.2).max()) < 1e-2


def test_tone_tells_fair_from_dark() -> None:
    image = torch.zeros(1, 3, 32, 32)
    image[..., :16, :] = 1
    assert float(tone(image, -image)) > 1


def test_each_image_counts_alone() -> None:
    first, second = picture(0), picture(1)
    for loss in (content, tone):
        together = loss(first, second)
        alone = torch.cat([loss(a[None], b[None]) for a, b in zip(first, second, strict=True)])
        assert torch.allclose(together, alone, atol=1e-5)


def test_what_everybody_shares_is_no_distinction() -> None:
    people = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    shared = torch.randn(8, generator=torch.Generator().manual_seed(1))
    assert float(distinction(people + shared, people)) < 1e-10
    assert float(distinction(shared.expand(3, -1), people)) > 1
    assert float(distinction(people.roll(1, 0), people)) > 1
    assert float(distinction(people[:1] + shared, people[:1])) == 0


def test_distinction_is_the_mean_over_pairs() -> None:
    made, wanted = torch.randn(2, 4, 8, generator=torch.Generator().manual_seed(2))
    pairs = [
        float(((made[n] - made[m]) - (wanted[n] - wanted[m])).square().sum())
        for n in range(4)
        for m in range(4)
        if n != m
    ]
    assert float(distinction(made, wanted)) == pytest.approx(sum(pairs) / len(pairs), rel=1e-5)
