"""Trainer for all trainings of the method: moving averages, validation, early stop, exact resume.

Each step draws its randomness from a generator seeded by the run's seed and the step's number. The
saved state therefore holds networks, optimisers, averages and the step number, and no state of a
random generator. To resume, run the same training again with the same state file: the result is
equal to that of an uninterrupted run, byte for byte.

Several ranks (`networks.ranks`) train together: all do the same steps and hold the same weights;
the first one reads and writes the state, and renders. The state does not name their number.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from dualstylegan.codes.tables import digest
from dualstylegan.errors import CheckpointError, TrainingError
from dualstylegan.io.checkpoints import load_state, save_state
from dualstylegan.networks import ranks

SEED_STRIDE = 1_000_003
# Steps from one comparison of the ranks' weights to the next.
COMPARED_STEPS = 100
# Warm-up of the moving average: its decay is at most (step + 1) / (step + 1 + 10).
AVERAGE_WARMUP_STEPS = 10


@dataclass(frozen=True)
class RunPlan:
    """Settings of a training run that do not depend on what is trained.

    Attributes:
        steps: maximum number of steps.
        seed: seed of all randomness.
        average_decay: decay of the moving average per step, reached after a warm-up.
        save_seconds: seconds from one saved state to the next; 0 saves after every step.
        picture_steps: steps from one sample grid to the next; 0 renders the last one only.
        fingerprint: hash of inputs and settings; a state with another fingerprint is refused.
        check_steps: steps from one validation of the averages to the next, the best of which is
            the result; 0 turns validation off, and the last averages are the result.
        patience: validations in a row without a better score that end the training; 0 turns early
            stopping off.
    """

    steps: int
    seed: int
    average_decay: float
    save_seconds: float
    picture_steps: int
    fingerprint: str
    check_steps: int = 0
    patience: int = 0


@dataclass
class BestAverage:
    """Moving averages with the best validation score so far.

    Attributes:
        step: number of steps after which they were taken; 0 before the first validation.
        score: their validation score.
        average: parameters by name; None before the first validation.
    """

    step: int = 0
    score: float = 0.0
    average: dict[str, Tensor] | None = None


class Training(ABC):
    """Networks, optimisers and one training step.

    Attributes:
        modules: trained networks by name.
        optimisers: optimisers by name.
        averaged: name of the module whose trained parameters are averaged.
        buffers: further tensors that a step passes on to the next one, updated in place.
    """

    modules: Mapping[str, nn.Module]
    optimisers: Mapping[str, torch.optim.Optimizer]
    averaged: str
    buffers: Mapping[str, Tensor] = MappingProxyType({})

    @abstractmethod
    def step(self, step: int, rng: torch.Generator) -> dict[str, Tensor]:
        """Do step number `step` with randomness from `rng` (on the CPU); return scalars to log."""

    @abstractmethod
    def picture(self) -> Image.Image:
        """Render a sample grid with the averaged network, from the same codes every time."""

    def check(self) -> dict[str, Tensor]:
        """Return validation measures of the averaged network; a higher `score` is better.

        Raises:
            NotImplementedError: the training has no validation and must run without it.
        """
        raise NotImplementedError


def to_floats(scalars: Mapping[str, Tensor]) -> dict[str, float]:
    """Convert scalars to Python numbers with a single device synchronisation."""
    values: list[float] = torch.stack([v.float() for v in scalars.values()]).tolist()
    return dict(zip(scalars, values, strict=True))


class Trainer:
    """Training loop with moving averages, validation, saved states and sample grids.

    Args:
        training: networks, optimisers and the step.
        plan: settings of the run.
        state_file: file of the saved state, read at the start if it exists.
        on_metrics: called after each step with its number and scalars, on the first rank.
        on_picture: called with the step's number and sample grid, while the averaged module holds
            its averages, on the first rank.
    """

    def __init__(
        self,
        training: Training,
        plan: RunPlan,
        state_file: Path,
        on_metrics: Callable[[int, dict[str, float]], None] | None = None,
        on_picture: Callable[[int, Image.Image], None] | None = None,
    ) -> None:
        self.training = training
        self.plan = plan
        self.state_file = state_file
        self.on_metrics = on_metrics if ranks.is_first() else None
        self.on_picture = on_picture if ranks.is_first() else None
        self.step = 0
        self.history: list[dict[str, float]] = []
        trained = training.modules[training.averaged].named_parameters()
        self.average = {k: p.detach().clone() for k, p in trained if p.requires_grad}
        self.best = BestAverage()

    @property
    def stalled(self) -> bool:
        """True if the last `patience` validations brought no better score.

        A best score of zero means that no style has arrived yet, and does not end the training.
        """
        if not self.plan.patience or self.best.score <= 0:
            return False
        return (self.step - self.best.step) // self.plan.check_steps >= self.plan.patience

    def run(self) -> None:
        """Train from the saved state, if there is one, until the last step or early stop.

        Raises:
            TrainingError: a scalar is not finite; the last saved state is left as it is.
            CheckpointError: the saved state belongs to other inputs or settings.
            RankLostError: another rank has ended.
        """
        ranks.check_equal("inputs or settings", self.plan.fingerprint)
        self._resume()
        self._start_equal()
        saved = time.monotonic()
        while self.step < self.plan.steps and not self.stalled:
            rng = torch.Generator().manual_seed(self.plan.seed * SEED_STRIDE + self.step)
            scalars = to_floats(self.training.step(self.step, rng))
            self._check_finite(scalars)
            self._update_average()
            self.step += 1
            scalars |= self._validate()
            self.history.append({"step": self.step, **scalars})
            if self.on_metrics is not None:
                self.on_metrics(self.step, scalars)
            # Before the state is saved: a run killed in between renders the grid again.
            self._render_samples()
            if time.monotonic() - saved >= self.plan.save_seconds:
                self.save()
                saved = time.monotonic()
            if self._due(COMPARED_STEPS):
                self._compare_ranks()

    def averaged_state(self) -> dict[str, Tensor]:
        """Return the averaged module's state, every trained parameter replaced by its average.

        With validation these are the averages with the best score, otherwise the last ones.
        """
        module = self.training.modules[self.training.averaged]
        average = self.average if self.best.average is None else self.best.average
        return {k: average.get(k, v).clone() for k, v in module.state_dict().items()}

    @contextmanager
    def averages_loaded(self) -> Iterator[None]:
        """Load the averages into the averaged module and restore its weights on exit."""
        parameters = dict(self.training.modules[self.training.averaged].named_parameters())
        weights = {key: parameters[key].detach().clone() for key in self.average}

        def load(values: Mapping[str, Tensor]) -> None:
            with torch.no_grad():
                for key, value in values.items():
                    parameters[key].copy_(value)

        load(self.average)
        try:
            yield
        finally:
            load(weights)

    def save(self) -> None:
        """Write the state atomically, on the first rank."""
        if not ranks.is_first():
            return
        training = self.training
        state: dict[str, Any] = {
            "fingerprint": self.plan.fingerprint,
            "step": self.step,
            "history": self.history,
            "average": self.average,
            "best": vars(self.best),
            "memory": dict(training.buffers),
            "modules": {
                name: {k: p for k, p in module.named_parameters() if p.requires_grad}
                for name, module in training.modules.items()
            },
            "optimisers": {name: o.state_dict() for name, o in training.optimisers.items()},
        }
        save_state(self.state_file, state)

    def _resume(self) -> None:
        with ranks.file_of_first(self.state_file) as file:
            if file is not None:
                self._load(load_state(file))

    def _load(self, state: dict[str, Any]) -> None:
        if state.get("fingerprint") != self.plan.fingerprint:
            raise CheckpointError(
                "the saved state belongs to other inputs or settings",
                file=self.state_file,
                fix="delete it to start from the first step",
            )
        with torch.no_grad():
            for name, module in self.training.modules.items():
                parameters = dict(module.named_parameters())
                for key, value in state["modules"][name].items():
                    parameters[key].copy_(value)
            for name, tensors in (("average", self.average), ("memory", self.training.buffers)):
                for key, value in state[name].items():
                    tensors[key].copy_(value)
        for name, optimiser in self.training.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        self.best = BestAverage(**state["best"])
        self.step = state["step"]
        self.history = state["history"]

    def _start_equal(self) -> None:
        """Take the weights, averages and buffers of the first rank."""
        training = self.training
        trained = (p for m in training.modules.values() for p in m.parameters() if p.requires_grad)
        ranks.take_from_first([*trained, *self.average.values(), *training.buffers.values()])
        self._compare_ranks()

    def _compare_ranks(self) -> None:
        """Refuse to go on if ranks have different weights (TrainingError)."""
        if ranks.count() > 1:
            for name, module in self.training.modules.items():
                ranks.check_equal(f"the weights of {name}", digest(module))

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(
            self.plan.average_decay, (self.step + 1) / (self.step + 1 + AVERAGE_WARMUP_STEPS)
        )
        module = self.training.modules[self.training.averaged]
        for key, parameter in module.named_parameters():
            if key in self.average:
                self.average[key].lerp_(parameter, 1 - decay)

    def _check_finite(self, scalars: Mapping[str, float]) -> None:
        not_finite = {k: v for k, v in scalars.items() if not math.isfinite(v)}
        if not_finite:
            raise TrainingError(
                f"training diverged at step {self.step}: a scalar is not finite",
                file=self.state_file,
                value=not_finite,
                fix="lower the learning rate; the last saved state is intact",
            )

    def _due(self, every: int) -> bool:
        """Return True after every `every` steps and after the last one; 0 means the last only."""
        return self.step == self.plan.steps or bool(every and self.step % every == 0)

    def _validate(self) -> dict[str, float]:
        """Validate the averages if it is due and keep the best; of equals, the latest."""
        if not self.plan.check_steps or not self._due(self.plan.check_steps):
            return {}
        with self.averages_loaded():
            found = self.training.check()
        # Every rank validates, as it would wait otherwise; those of the first one count.
        measures = to_floats(ranks.taken_from_first(found))
        if self.best.average is None or measures["score"] >= self.best.score:
            average = {key: value.clone() for key, value in self.average.items()}
            self.best = BestAverage(self.step, measures["score"], average)
        return {f"check/{name}": value for name, value in measures.items()}

    def _render_samples(self) -> None:
        """Pass a sample grid to `on_picture` if it is due, or if these averages are the best."""
        best = self.best.step == self.step
        if (best or self._due(self.plan.picture_steps)) and self.on_picture is not None:
            with self.averages_loaded():
                self.on_picture(self.step, self.training.picture())
