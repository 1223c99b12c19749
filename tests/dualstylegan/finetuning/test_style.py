"""Passes of stage 3: who meets which exemplar, and what they are compared by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from dualstylegan.finetuning import step, style
from dualstylegan.finetuning.targets import KeptTargets
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.threads import one_thread
from tests.support.trainings import Identity, small_network, style_training


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


def test_targets_that_never_change_are_computed_once_and_change_no_result() -> None:
    """The tone's networks take the same codes in every paired step: g's faces are rendered once."""

    def steps(keep: bool) -> tuple[list[dict[str, float]], int, int]:
        torch.manual_seed(5)
        network = DualStyleGAN(small_network().generator, 8, tone_rank=2)
        training = style_training(network, identity=(identity := Identity()))
        if not keep:
            training._features.budget = training._identities.budget = 0
        scalars = []
        for number in range(6):
            made = training.step(number, torch.Generator().manual_seed(number))
            scalars.append({name: float(value) for name, value in made.items()})
        return scalars, training.perceptual.calls, len(identity.seen)

    (kept, features, faces), (anew, all_features, all_faces) = steps(True), steps(False)
    assert kept == anew
    assert features < all_features
    assert faces < all_faces


def test_targets_beyond_the_budget_are_computed_again() -> None:
    asked = []

    def compute(index: torch.Tensor) -> list[torch.Tensor]:
        asked.append(int(index))
        return [index.float().expand(1, 4), index[:, None]]

    targets = KeptTargets(compute, budget=2 * (16 + 8))
    for _ in range(2):
        rows, numbers = targets(torch.tensor([2, 0, 2, 1]))
        assert numbers.flatten().tolist() == rows[:, 0].tolist() == [2, 0, 2, 1]
    assert asked == [0, 1, 2, 2]


def test_parts_of_a_step_have_the_same_bits_beside_each_other_as_in_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Parts that run at once, each on one thread. Of all else the bits may follow the threads."""
    turns: list[str] = []

    def in_turn(
        first: Callable[[], object], second: Callable[[], object], device: torch.device
    ) -> tuple[object, object]:
        turns.append("x")
        with one_thread():
            return first(), second()

    def steps() -> list[dict[str, float]]:
        before = torch.get_num_threads()
        torch.set_num_threads(2)
        try:
            torch.manual_seed(5)
            training = style_training(small_network())
            made = [training.step(i, torch.Generator().manual_seed(i)) for i in range(4)]
        finally:
            torch.set_num_threads(before)
        return [{name: float(value) for name, value in row.items()} for row in made]

    beside = steps()
    for module in (step, style):
        monkeypatch.setattr(module, "beside", in_turn)
    assert steps() == beside
    assert len(turns) >= 2 * 4
