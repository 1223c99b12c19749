"""Automatic choices of training: checkpoint, early stop, lambda_ID, augmentation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dualstylegan.finetuning.discriminator import (
    MAX_AUGMENT_PROBABILITY,
    Comparison,
    DiscriminatorPlan,
    DiscriminatorTrainer,
)
from dualstylegan.finetuning.trainer import RunPlan, Trainer
from dualstylegan.finetuning.validation import Panel, Validation, f_measure
from dualstylegan.networks.discriminator import Discriminator
from dualstylegan.networks.generator import Generator
from tests.support.trainings import (
    SIZE,
    Identity,
    Pyramid,
    small_network,
    style_training,
)

Drawn = tuple[Generator, Tensor, Tensor]


class Killed(Exception):
    pass


def scored(training: Any, scores: Sequence[float]) -> Any:
    """Replace a training's validation by given scores, one after the other."""
    waiting = iter(scores)
    training.check = lambda: {"score": torch.tensor(next(waiting))}
    return training


def trainer_of(
    training: Any, folder: Path, *, steps: int, check_steps: int = 1, patience: int = 0
) -> Trainer:
    plan = RunPlan(steps, 3, 0.9, 0, 0, "x", check_steps, patience)
    return Trainer(training, plan, folder / "state.safetensors")


def weights_after(step: int, tmp_path: Path) -> dict[str, Tensor]:
    """Return the averages of a training without validation that ends at a step."""
    trainer = trainer_of(style_training(small_network()), tmp_path / "x", steps=step, check_steps=0)
    trainer.run()
    return trainer.averaged_state()


def test_the_result_is_the_best_check_and_not_the_last(tmp_path: Path) -> None:
    training = scored(style_training(small_network()), [0.1, 0.5, 0.3])
    trainer = trainer_of(training, tmp_path, steps=3)
    trainer.run()
    assert trainer.best.step == 2
    assert [row["check/score"] for row in trainer.history] == pytest.approx([0.1, 0.5, 0.3])
    expected = weights_after(2, tmp_path)
    assert all(torch.equal(value, expected[key]) for key, value in trainer.averaged_state().items())


def test_the_last_step_is_checked_too(tmp_path: Path) -> None:
    training = scored(style_training(small_network()), [0.1, 0.2])
    trainer = trainer_of(training, tmp_path, steps=3, check_steps=2)
    trainer.run()
    assert trainer.best.step == 3


def test_training_ends_when_the_score_stalls(tmp_path: Path) -> None:
    training = scored(style_training(small_network()), [0.3, 0.2, 0.1, 0.9])
    trainer = trainer_of(training, tmp_path, steps=6, patience=2)
    trainer.run()
    assert (trainer.step, trainer.best.step) == (3, 1)


def test_a_slow_start_does_not_end_the_training(tmp_path: Path) -> None:
    """Scores of zero keep the latest averages and do not exhaust the patience."""
    training = scored(style_training(small_network()), [0.0, 0.0, 0.0, 0.0])
    trainer = trainer_of(training, tmp_path, steps=4, patience=1)
    trainer.run()
    assert (trainer.step, trainer.best.step) == (4, 4)


def test_a_killed_run_chooses_what_an_uninterrupted_one_chooses(tmp_path: Path) -> None:
    """The saved state holds the best averages and p."""

    def run(folder: Path, killed_at: int | None) -> Any:
        training = style_training(small_network())
        plan = DiscriminatorPlan(augment=0.5, augment_target=0.6, augment_images=10)
        training.discriminator.plan = plan
        trainer = trainer_of(training, folder, steps=5, check_steps=2)

        def watch(step: int, scalars: dict[str, float]) -> None:
            if step == killed_at:
                raise Killed

        trainer.on_metrics = watch
        trainer.run()
        return trainer

    whole = run(tmp_path / "a", None)
    with pytest.raises(Killed):
        run(tmp_path / "b", 4)
    resumed = run(tmp_path / "b", None)
    assert resumed.history == whole.history
    assert resumed.best.step == whole.best.step
    theirs = resumed.averaged_state()
    assert all(torch.equal(value, theirs[key]) for key, value in whole.averaged_state().items())
    assert torch.equal(resumed.training.discriminator.augment, whole.training.discriminator.augment)


class Certain(Discriminator):
    """Discriminator with a constant output."""

    def __init__(self, logit: float) -> None:
        super().__init__(SIZE, channels=[8] * 4)
        self.logit = logit

    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image) * 0 + self.logit


@pytest.mark.parametrize(("logit", "target", "after"), [(1.0, 0.6, 0.52), (-1.0, 0.6, 0.48)])
def test_augmentation_follows_how_often_the_discriminator_is_right(
    logit: float, target: float, after: float
) -> None:
    trainer = DiscriminatorTrainer(
        Certain(logit), DiscriminatorPlan(augment=0.5, augment_target=target, augment_images=100)
    )
    images = torch.randn(2, 3, SIZE, SIZE)
    compared = Comparison(images, images, torch.Generator().manual_seed(0))

    def update(step: int) -> None:
        update = trainer.begin(step)
        update.add(0, compared)
        update.finish()

    update(1)
    assert float(trainer.augment) == pytest.approx(after)
    for step in range(1, 60):
        update(step)
    assert float(trainer.augment) == pytest.approx(MAX_AUGMENT_PROBABILITY if logit > 0 else 0.0)


class Painter(torch.nn.Module):
    """Network that renders what a function returns."""

    def __init__(self, generator: Generator, paint: Any) -> None:
        super().__init__()
        self.generator = generator
        self.paint = paint

    def forward(self, w_NLD: Tensor, styles_NLD: Tensor, *, space: str, size: int) -> Any:
        return self.paint(w_NLD, size)


@pytest.fixture
def panel() -> Drawn:
    """Generator, three exemplars and their codes."""
    network = small_network()
    torch.manual_seed(5)
    exemplars = torch.rand(3, 3, SIZE, SIZE) * torch.rand(3, 3, 1, 1) * 2 - 1
    return network.generator, exemplars, torch.randn(3, network.generator.rows, 8)


@pytest.mark.parametrize(
    ("paint", "style", "person"),
    [("exemplars", 1.0, None), ("faces", 0.0, 1.0)],
)
def test_neither_a_copy_of_the_exemplar_nor_the_face_itself_scores(
    panel: Drawn, paint: str, style: float, person: float | None
) -> None:
    generator, exemplars, codes = panel
    painted = {
        "exemplars": lambda w, size: exemplars,
        "faces": lambda w, size: generator.synthesise(w, size=size),
    }
    network: Any = Painter(generator, painted[paint])
    found = Validation(
        network, Pyramid(), Identity(),  # type: ignore[arg-type]
        exemplars, codes, SIZE, Panel(3, 3, 0.7),
    ).measure()  # fmt: skip
    assert float(found["style"]) == pytest.approx(style, abs=1e-6)
    if person is not None:
        assert float(found["person"]) == pytest.approx(person, abs=1e-6)
    assert float(found["score"]) == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize("seed", [1, 2])
def test_style_is_scored_inside_of_the_exemplars_pictures(panel: Drawn, seed: int) -> None:
    """Results that have an exemplar's style inside of its picture have it, whatever lies beyond."""
    generator, exemplars, codes = panel
    mask = torch.zeros(3, 1, SIZE, SIZE, dtype=torch.bool)
    mask[..., : SIZE // 2] = True
    beyond = torch.randn(exemplars.shape, generator=torch.Generator().manual_seed(seed))
    network: Any = Painter(generator, lambda w, size: torch.where(mask, exemplars, beyond))

    def style(mask_S1HW: Tensor | None) -> float:
        validation = Validation(
            network, Pyramid(), Identity(),  # type: ignore[arg-type]
            exemplars, codes, SIZE, Panel(3, 3, 0.7), mask_S1HW,
        )  # fmt: skip
        return float(validation.measure()["style"])

    assert style(mask) > 0.8
    assert style(None) < 0.7


def test_the_score_wants_both_and_style_more() -> None:
    assert f_measure(0.5, 0.5) == pytest.approx(0.5)
    assert f_measure(0.9, 0.05) < f_measure(0.4, 0.4)
    assert f_measure(0.6, 0.4) > f_measure(0.4, 0.6)
    assert f_measure(1.0, -0.2) == 0


def test_a_panel_takes_exemplars_from_the_whole_set() -> None:
    """At most `panel_styles` of them, evenly spaced."""
    training = style_training(small_network(), panel_styles=2)
    training.check()
    expected = training.extrinsic_NLD[[0, 2]]
    assert torch.equal(training._validation.extrinsic_SLD, expected)
