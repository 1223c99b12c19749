"""One trainer for every adversarial training of the method, resumable to the byte.

Each step draws all its randomness from a generator seeded by the run's seed and the step's number,
so that a state needs networks, optimisers, averages and the step, and nothing else. To resume, run
the same training again with the same state file.
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

from dualstylegan.errors import CheckpointError, TrainingError
from dualstylegan.io.checkpoints import load_state, save_state

SEED_STRIDE = 1_000_003
WARM_AVERAGE_STEPS = 10


@dataclass(frozen=True)
class RunPlan:
    """How a training runs, whatever it trains.

    Attributes:
        steps: number of steps.
        seed: of all randomness.
        average_decay: decay of the moving averages per step, reached after a warm-up.
        save_seconds: time between two saved states; 0 saves after every step.
        picture_steps: steps between two sample pictures; 0 makes none but the last.
        fingerprint: names the inputs; a state of other inputs is refused.
        check_steps: steps between two held-out checks of the averages, the best of which are the
            result; 0: the last averages are.
        patience: checks in a row without a better score that end the training; 0: none do.
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
class Best:
    """The averages that the held-out score chose so far.

    Attributes:
        step: after which step they were taken; 0 before the first check.
        score: theirs.
        average: None before the first check.
    """

    step: int = 0
    score: float = 0.0
    average: dict[str, Tensor] | None = None


class Training(ABC):
    """What is trained: networks, optimisers and the work of one step.

    Attributes:
        modules: trained networks by name.
        optimisers: by name.
        averaged: name of the module whose parameters are averaged, all of those that train.
        memory: what else a step leaves for the next ones, changed in place.
    """

    modules: Mapping[str, nn.Module]
    optimisers: Mapping[str, torch.optim.Optimizer]
    averaged: str
    memory: Mapping[str, Tensor] = MappingProxyType({})

    @abstractmethod
    def step(self, step: int, draw: torch.Generator) -> dict[str, Tensor]:
        """Do step number `step` with randomness from `draw` (CPU); returns scalars to log."""

    @abstractmethod
    def picture(self) -> Image.Image:
        """A grid that shows what the averaged network does, always of the same codes."""

    def check(self) -> dict[str, Tensor]:
        """Held-out measures of the averaged network, `score` among them: higher is better.

        Raises:
            NotImplementedError: a training that has none, and runs without checks.
        """
        raise NotImplementedError


def to_floats(scalars: Mapping[str, Tensor]) -> dict[str, float]:
    """Scalars as Python numbers; a GPU is waited for once, whatever their number."""
    values: list[float] = torch.stack([v.float() for v in scalars.values()]).tolist()
    return dict(zip(scalars, values, strict=True))


class Trainer:
    """Runs a `Training` to its end, saving states on the way.

    Args:
        training: what is trained.
        plan: how it runs.
        state_file: where the state is kept while the run lasts.
        on_metrics: told each step's number and scalars.
        on_picture: told a step's number and its sample grid, while the averages are in place.
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
        self.on_metrics = on_metrics
        self.on_picture = on_picture
        self.step = 0
        self.history: list[dict[str, float]] = []
        trained = training.modules[training.averaged].named_parameters()
        self.average = {k: p.detach().clone() for k, p in trained if p.requires_grad}
        self.best = Best()

    @property
    def stalled(self) -> bool:
        """Whether the score has not risen for as many checks as patience lasts.

        A score of zero says that there is nothing to choose from yet, and ends nothing.
        """
        if not self.plan.patience or self.best.score <= 0:
            return False
        return (self.step - self.best.step) // self.plan.check_steps >= self.plan.patience

    def run(self) -> None:
        """Train from the saved state, or from the start, to the last step or until it stalls.

        Raises:
            TrainingError: a loss is not finite; the state before it is on disk.
        """
        self._resume()
        saved = time.monotonic()
        while self.step < self.plan.steps and not self.stalled:
            draw = torch.Generator().manual_seed(self.plan.seed * SEED_STRIDE + self.step)
            scalars = to_floats(self.training.step(self.step, draw))
            self._check_finite(scalars)
            self._update_average()
            self.step += 1
            scalars |= self._check()
            self.history.append({"step": self.step, **scalars})
            if self.on_metrics is not None:
                self.on_metrics(self.step, scalars)
            self._show()  # before the state: a run killed in between draws the picture again
            if time.monotonic() - saved >= self.plan.save_seconds:
                self.save()
                saved = time.monotonic()

    def averaged_state(self) -> dict[str, Tensor]:
        """State of the averaged module with every trained parameter replaced by its average.

        The averages are the chosen ones where checks choose, and else the last.
        """
        module = self.training.modules[self.training.averaged]
        average = self.average if self.best.average is None else self.best.average
        return {k: average.get(k, v).clone() for k, v in module.state_dict().items()}

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """For a while the averaged module has its averages for weights."""
        parameters = dict(self.training.modules[self.training.averaged].named_parameters())
        weights = {key: parameters[key].detach().clone() for key in self.average}

        def give(values: Mapping[str, Tensor]) -> None:
            with torch.no_grad():
                for key, value in values.items():
                    parameters[key].copy_(value)

        give(self.average)
        try:
            yield
        finally:
            give(weights)

    def save(self) -> None:
        """Write the state atomically."""
        training = self.training
        state: dict[str, Any] = {
            "fingerprint": self.plan.fingerprint,
            "step": self.step,
            "history": self.history,
            "average": self.average,
            "best": vars(self.best),
            "memory": dict(training.memory),
            "modules": {
                name: {k: p for k, p in module.named_parameters() if p.requires_grad}
                for name, module in training.modules.items()
            },
            "optimisers": {name: o.state_dict() for name, o in training.optimisers.items()},
        }
        save_state(self.state_file, state)

    def _resume(self) -> None:
        if not self.state_file.exists():
            return
        state = load_state(self.state_file)
        if state.get("fingerprint") != self.plan.fingerprint:
            raise CheckpointError(
                "the saved state belongs to other inputs or settings",
                file=self.state_file,
                fix="delete it to start anew",
            )
        with torch.no_grad():
            for name, module in self.training.modules.items():
                parameters = dict(module.named_parameters())
                for key, value in state["modules"][name].items():
                    parameters[key].copy_(value)
            for kept, found in (("average", self.average), ("memory", self.training.memory)):
                for key, value in state[kept].items():
                    found[key].copy_(value)
        for name, optimiser in self.training.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        self.best = Best(**state["best"])
        self.step = state["step"]
        self.history = state["history"]

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.plan.average_decay, (self.step + 1) / (self.step + 1 + WARM_AVERAGE_STEPS))
        module = self.training.modules[self.training.averaged]
        for key, parameter in module.named_parameters():
            if key in self.average:
                self.average[key].lerp_(parameter, 1 - decay)

    def _check_finite(self, scalars: Mapping[str, float]) -> None:
        broken = {k: v for k, v in scalars.items() if not math.isfinite(v)}
        if broken:
            raise TrainingError(
                f"training broke at step {self.step}",
                file=self.state_file,
                value=broken,
                fix="lower the learning rate; the last good state is kept",
            )

    def _due(self, every: int) -> bool:
        """Whether something that is done every so many steps, and at the end, is due."""
        return self.step == self.plan.steps or bool(every and self.step % every == 0)

    def _check(self) -> dict[str, float]:
        """Measure the averages where a check is due, and keep them if none were better."""
        if not self.plan.check_steps or not self._due(self.plan.check_steps):
            return {}
        with self.averaged():
            found = to_floats(self.training.check())
        if self.best.average is None or found["score"] >= self.best.score:
            average = {key: value.clone() for key, value in self.average.items()}
            self.best = Best(self.step, found["score"], average)
        return {f"check/{name}": value for name, value in found.items()}

    def _show(self) -> None:
        checked = self.best.step == self.step  # the chosen averages are always seen
        if (checked or self._due(self.plan.picture_steps)) and self.on_picture is not None:
            with self.averaged():
                self.on_picture(self.step, self.training.picture())
