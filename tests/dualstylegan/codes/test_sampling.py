"""The sampler of style codes: every exemplar is reached, a sample stands alone, nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from dualstylegan.codes.sampling import SamplerPlan, StyleSampler, fit_sampler
from dualstylegan.errors import CheckpointError

ROWS, STRUCTURE, DIM, EXEMPLARS = 5, 2, 4, 4
PLAN = SamplerPlan(epochs=60, pool=64, batch=16, rate=0.003, jitter=0.02, seed=1)


@pytest.fixture(scope="module")
def codes() -> Tensor:
    return torch.randn(EXEMPLARS, ROWS, DIM, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def sampler(codes: Tensor) -> StyleSampler:
    return fit_sampler(codes, STRUCTURE, PLAN)[0]


def test_samples_lie_at_the_exemplars_and_reach_every_one(
    sampler: StyleSampler, codes: Tensor
) -> None:
    samples = sampler.sample(200, seed=5)
    for rows in (slice(None, STRUCTURE), slice(STRUCTURE, None)):
        distance = torch.cdist(samples[:, rows].flatten(1), codes[:, rows].flatten(1))
        apart = torch.pdist(codes[:, rows].flatten(1)).mean()
        assert distance.amin(1).median() < apart / 2
        assert len(set(distance.argmin(1).tolist())) == EXEMPLARS


def test_a_sample_does_not_depend_on_its_batch_mates(sampler: StyleSampler) -> None:
    """Batch normalisation uses what it learnt, whatever mode the networks are in."""
    many = sampler.sample(6, seed=3)
    sampler.train()
    try:
        few = sampler.sample(2, seed=3)
        assert sampler.training
    finally:
        sampler.eval()
    assert torch.allclose(many[:2], few, atol=1e-6)
    assert not torch.allclose(many[0], many[1])


def test_sampling_changes_nothing_that_was_learnt(sampler: StyleSampler) -> None:
    before = {k: v.clone() for k, v in sampler.state_dict().items()}
    sampler.sample(8, seed=1)
    assert all(torch.equal(v, before[k]) for k, v in sampler.state_dict().items())


def test_all_epochs_are_run_and_the_error_falls(codes: Tensor) -> None:
    told: list[int] = []
    _, history = fit_sampler(codes, STRUCTURE, PLAN, lambda done, note: told.append(done))
    assert told == list(range(1, PLAN.epochs + 1))
    assert history[-1]["structure"] < history[0]["structure"] / 2


def test_more_exemplars_than_the_pool_holds_are_all_learnt() -> None:
    codes = torch.randn(9, ROWS, DIM, generator=torch.Generator().manual_seed(2))
    plan = SamplerPlan(epochs=1, pool=4, batch=4, rate=0.001, jitter=0.0, seed=0)
    _, history = fit_sampler(codes, STRUCTURE, plan)
    assert history[0]["structure"] > 0


def test_the_same_seed_gives_the_same_bytes(codes: Tensor, tmp_path: Path) -> None:
    plan = SamplerPlan(epochs=2, pool=8, batch=4, rate=0.001, jitter=0.1, seed=4)
    for name in ("a", "b"):
        torch.randn(3)  # what was drawn before does not matter
        fit_sampler(codes, STRUCTURE, plan)[0].save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    loaded = StyleSampler.load(tmp_path / "a")
    assert torch.equal(loaded.sample(3, 0), StyleSampler.load(tmp_path / "b").sample(3, 0))


def test_a_truncated_sampler_is_named(sampler: StyleSampler, tmp_path: Path) -> None:
    sampler.save(tmp_path / "s.safetensors")
    whole = (tmp_path / "s.safetensors").read_bytes()
    (tmp_path / "s.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"s\.safetensors"):
        StyleSampler.load(tmp_path / "s.safetensors")
