"""Training stages: plans from settings, a resumable run, and its output folder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TypeVar

from PIL import Image
from torch import Tensor

from dualstylegan.finetuning.adapt import AdaptPlan
from dualstylegan.finetuning.discriminator import DiscriminatorPlan
from dualstylegan.finetuning.step import StepOptions
from dualstylegan.finetuning.style import StylePlan
from dualstylegan.finetuning.trainer import RunPlan, Trainer, Training
from dualstylegan.io.checkpoints import save_tensors
from dualstylegan.io.files import atomic_directory, write_bytes, write_json
from dualstylegan.io.images import write_png
from dualstylegan.networks import ranks
from dualstylegan.networks.config import CONFIG_FILE, MODEL_FILE, NetworkConfig
from dualstylegan.networks.loading import NetworkSet
from tasks.shared.curves import step_progress, write_curves
from tasks.shared.live import Live
from tasks.shared.paths import STATE_FILE, Paths
from tasks.shared.runs import FINGERPRINT, RUN_FILE, SAMPLES
from tasks.shared.settings import Adapt, Finetune, Profile

Plan = TypeVar("Plan", AdaptPlan, StylePlan)


def training_plan(kind: type[Plan], options: Adapt | Finetune) -> Plan:
    """Return the plan of a training from its settings."""
    values = options.model_dump()
    step_options = StepOptions(**{name: values[name] for name in StepOptions.__dataclass_fields__})
    names = {field.name for field in fields(kind)} - {"step_options"}
    return kind(**{name: values[name] for name in names}, step_options=step_options)


def trained_config(networks: NetworkSet, profile: Profile) -> NetworkConfig:
    """Return the config of a trained network; larger images take the trained size's colours."""
    config = networks.config()
    if config.generator.kind != "mobilestylegan":
        return config
    coarse = {"coarse_px": profile.working_size}
    return config.model_copy(update={"generator": config.generator.model_copy(update=coarse)})


def discriminator_plan(options: Adapt | Finetune) -> DiscriminatorPlan:
    """Return the discriminator's part of the settings."""
    return DiscriminatorPlan(
        rate=options.discriminator_rate,
        augment=options.augment,
        augment_target=options.augment_target,
        augment_images=options.augment_images,
    )


def run_plan(
    profile: Profile,
    options: Adapt | Finetune,
    save_seconds: float,
    picture_steps: int,
    fingerprint: str,
    check_steps: int = 0,
    patience: int = 0,
) -> RunPlan:
    """Return length, seed, averaging, saving and checks of a training."""
    return RunPlan(
        steps=options.steps,
        seed=profile.seed,
        average_decay=options.average_decay,
        save_seconds=save_seconds,
        picture_steps=picture_steps,
        fingerprint=fingerprint,
        check_steps=check_steps,
        patience=patience,
    )


def train(
    stage: str, training: Training, plan: RunPlan, config: object, live: Live | None = None
) -> None:
    """Train to the end and write the stage's folder of models; a killed run resumes.

    State and sample pictures lie in a folder per fingerprint until the result is written.

    Args:
        stage: name of the stage.
        training: losses, networks and optimisers.
        plan: its fingerprint digests everything that the result depends on.
        config: JSON value, written as config.json.
        live: logs the training to MLflow while it runs, on the first rank.
    """
    live = live if ranks.is_first() else None
    scratch = Paths.runs / stage / plan.fingerprint[:16]
    samples = scratch / SAMPLES
    show = step_progress(stage, plan.steps)

    def on_picture(step: int, picture: Image.Image) -> None:
        path = samples / f"{step:06d}.png"
        write_png(path, picture)
        if live is not None:
            live.picture(path)

    def on_metrics(step: int, scalars: Mapping[str, float]) -> None:
        show(step, scalars)
        if live is not None:
            live.metrics(step, scalars)

    if live is not None:
        live.begin(plan.fingerprint)
    trainer = Trainer(training, plan, scratch / STATE_FILE, on_metrics, on_picture)
    try:
        trainer.run()
    except BaseException:
        if live is not None:
            live.stop()
        raise
    if not ranks.is_first():
        return
    averaged, facts = trainer.averaged_state(), {FINGERPRINT: plan.fingerprint}
    write_result(Paths.trained()[stage], averaged, config, trainer.history, samples, facts)
    if live is not None:
        live.end(trainer.history)
    shutil.rmtree(Paths.runs / stage, ignore_errors=True)


def write_result(
    folder: Path,
    state: Mapping[str, Tensor],
    config: object,
    history: Sequence[Mapping[str, float]],
    samples: Path,
    facts: object,
) -> None:
    """Write network, config, curves, samples and fingerprint, all or nothing."""
    with atomic_directory(folder) as out:
        save_tensors(out / MODEL_FILE, state)
        write_json(out / CONFIG_FILE, config)
        write_curves(out, history)
        write_json(out / RUN_FILE, facts)
        (out / SAMPLES).mkdir()
        for path in sorted(samples.iterdir()):
            write_bytes(out / SAMPLES / path.name, path.read_bytes())
