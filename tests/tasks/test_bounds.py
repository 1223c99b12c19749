"""Both ends of each setting's range, given to the code that reads it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel

from dualstylegan.codes.sampling import SamplerPlan, fit_sampler
from dualstylegan.finetuning.adapt import AdaptPlan
from dualstylegan.finetuning.discriminator import (
    Comparison,
    DiscriminatorPlan,
    DiscriminatorTrainer,
)
from dualstylegan.finetuning.step import StepOptions
from dualstylegan.finetuning.style import StylePlan
from dualstylegan.networks.discriminator import Discriminator
from tasks.shared.settings import Adapt, Finetune, Sampler
from tasks.shared.training import discriminator_plan
from tests.support.settings import shipped
from tests.support.trainings import SIZE, adapt_training, small_network, style_training


def ends(schema: type[BaseModel], names: set[str]) -> Iterator[tuple[str, float]]:
    """Smallest and largest value of each numeric setting among `names`."""
    for name, field in schema.model_fields.items():
        if name not in names or field.annotation not in (int, float):
            continue
        kind = field.annotation
        inside = 1 if kind is int else 1e-6  # of a bound that is itself outside
        for bound in field.metadata:
            if isinstance(bound, Ge):
                yield name, kind(bound.ge)  # type: ignore[arg-type]
            elif isinstance(bound, Gt):
                yield name, kind(bound.gt + inside)  # type: ignore[operator]
            elif isinstance(bound, Le):
                yield name, kind(bound.le)  # type: ignore[arg-type]
            elif isinstance(bound, Lt):
                yield name, kind(bound.lt - inside)  # type: ignore[operator]


# 64 passes per step take seconds, and show nothing that 2 do not.
STEP = {field.name for field in fields(StepOptions)} - {"accumulation"}
ADAPT = [*ends(Adapt, {field.name for field in fields(AdaptPlan)} | STEP)]
STYLE = [*ends(Finetune, {field.name for field in fields(StylePlan)} | STEP)]


def finite(scalars: dict[str, torch.Tensor]) -> bool:
    return all(bool(torch.as_tensor(value).isfinite().all()) for value in scalars.values())


@pytest.mark.parametrize(("name", "value"), ADAPT)
def test_adapt_takes_both_ends(name: str, value: float) -> None:
    assert len(ADAPT) > 18
    options = StepOptions(**({name: value} if name in STEP else {}))  # type: ignore[arg-type]
    changes: dict[str, Any] = {} if name in STEP else {name: value}
    if name == "anchored":  # `anchored` does not exceed `batch`: `check_together`
        changes["batch"] = max(2, int(value))
    elif name == "batch":
        changes["anchored"] = min(1, int(value))
    training = adapt_training(small_network(), step_options=options, **changes)
    assert finite(training.step(0, torch.Generator().manual_seed(0)))


@pytest.mark.parametrize(("name", "value"), STYLE)
def test_finetune_takes_both_ends(name: str, value: float) -> None:
    assert len(STYLE) > 28
    options = StepOptions(**({name: value} if name in STEP else {}))  # type: ignore[arg-type]
    changes: dict[str, Any] = {} if name in STEP else {name: value}
    weight = changes.pop("identity", 1.0)  # the helper's own argument of that name is a network
    training = style_training(small_network(), step_options=options, **changes)
    training.plan = replace(training.plan, identity=weight)
    for step in (0, 1):  # random faces, and pairs of exemplars
        assert finite(training.step(step, torch.Generator().manual_seed(step)))


@pytest.mark.parametrize("section", [Adapt, Finetune])
def test_the_discriminator_takes_both_ends(section: type[Adapt | Finetune]) -> None:
    settings = shipped()
    chosen = settings.adapt if section is Adapt else settings.finetune
    names = {"discriminator_rate", "augment", "augment_target", "augment_images"}
    values = [*ends(section, names)]
    assert len(values) == 8
    for name, value in values:
        plan: DiscriminatorPlan = discriminator_plan(chosen.model_copy(update={name: value}))
        trainer = DiscriminatorTrainer(Discriminator(SIZE, channels=[8] * 4), plan)
        images = torch.randn(2, 3, SIZE, SIZE)
        compared = Comparison(images, images, torch.Generator().manual_seed(0))
        update = trainer.begin(0)
        update.add(0, compared)
        assert finite(update.finish())
        assert 0 <= float(trainer.augment) <= 1


def test_the_sampler_takes_both_ends() -> None:
    usual = SamplerPlan(epochs=1, pool=4, batch=2, rate=0.001, jitter=0.1, seed=0)
    values = [*ends(Sampler, {"pool", "batch", "rate", "jitter"})]
    assert len(values) == 8
    for name, value in values:
        if (name, value) == ("pool", 1_000_000):  # minutes and gigabytes, and nothing new
            value = 1000
        plan = replace(usual, **{name: value})  # type: ignore[arg-type]
        _, history = fit_sampler(torch.randn(3, 18, 8), 7, plan)
        assert all(0 <= error < float("inf") for error in history[0].values())
