"""Passes of stage 3: who meets which exemplar, and what they are compared by."""

from __future__ import annotations

from dataclasses import replace

import torch

from tests.support.trainings import small_network, style_training


def test_people_who_are_told_apart_share_an_exemplar() -> None:
    training = style_training(small_network(), batch=3)
    for seed in range(4):
        batch = training._unpaired_batch(torch.Generator().manual_seed(seed))
        assert len(set(batch.index_N.tolist())) == 1
        assert len(batch.intrinsic_NLD.unique(dim=0)) == 3
    alone = style_training(small_network(), batch=3, distinction=0.0)
    drawn = [alone._unpaired_batch(torch.Generator().manual_seed(seed)) for seed in range(4)]
    assert any(len(set(batch.index_N.tolist())) > 1 for batch in drawn)


def test_a_weight_of_zero_leaves_a_term_out() -> None:
    weights = ("distinction", "content", "tone")
    for name in weights:
        training = style_training(small_network())
        training.plan = replace(training.plan, **{name: 0.0})
        rng = torch.Generator().manual_seed(0)
        terms = training._terms(training._unpaired_batch(rng), rng)[1]
        assert set(weights) - set(terms) == {name}
