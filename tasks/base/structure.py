"""Stage `structure`: stages 1 and 2 of progressive fine-tuning, on embedded or imported networks.

On imported networks it follows the published schedule and writes into their folder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from dualstylegan.codes.tables import digest
from dualstylegan.finetuning.discriminator import DiscriminatorPlan, DiscriminatorTrainer
from dualstylegan.finetuning.step import StepOptions
from dualstylegan.finetuning.structure import StructurePlan, StructureTraining
from dualstylegan.io.checkpoints import save_tensors
from dualstylegan.networks.config import MODEL_FILE
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.loading import (
    DISCRIMINATOR_FILE,
    EmbeddedNetworks,
    NetworkSet,
)
from dualstylegan.pretraining.structure import FeaturePlan, FeatureTransfer
from dualstylegan.published import schedule
from tasks.base import held_out
from tasks.base.common import STRUCTURE_FILE, forget, keep, networks, placed, run
from tasks.base.measures import open_judge, structure_figures
from tasks.base.settings import BaseSettings, Structure
from tasks.shared.caching import cache_key
from tasks.shared.networks import open_networks

TRUNCATION = 0.9
FEATURE_DECAY = 0.99
PAIRS = 8


def structure_plan(chosen: Structure) -> StructurePlan:
    """Return the plan of stage 2 on the embedded generator."""
    return StructurePlan(
        batch=chosen.batch,
        rate=chosen.rate,
        phases=((7, 0), (6, chosen.six_from), (5, chosen.five_from)),
        encoded_steps=4,
        adversarial_weight=0.05,
        perceptual_weight=1.0,
        pixel_weight=0.5,
        truncation=TRUNCATION,
        step_options=StepOptions(),
    )


def train_structure(settings: BaseSettings) -> None:
    """Initialise the extrinsic path (stage 1), then train it on features and images (stage 2)."""
    found = open_networks(settings.profile)
    if not isinstance(found, EmbeddedNetworks):
        train_published(settings, found)
        return
    chosen = settings.chosen.structure
    torch.manual_seed(settings.profile.seed)
    network = placed(networks().initial_dualstylegan(), settings)
    start_on_features(network, settings)
    discriminator = placed(networks().initial_discriminator(), settings)
    training = stage_2(
        networks(), network, settings, structure_plan(chosen),
        DiscriminatorTrainer(discriminator, DiscriminatorPlan(augment=0.0)),
    )  # fmt: skip
    fingerprint = cache_key(chosen.model_dump(), settings.profile.seed, digest(network))
    decay, seed = chosen.average_decay, settings.profile.seed
    watch = watched(network, settings)
    state = run("structure", training, chosen.steps, seed, decay, fingerprint, watch)
    network.load_state_dict(state)
    keep(STRUCTURE_FILE, network.extrinsic_state())
    keep(DISCRIMINATOR_FILE, discriminator.state_dict())
    for name in ("features", "structure"):
        forget(name)


def start_on_features(network: DualStyleGAN, settings: BaseSettings) -> None:
    """Train the network in feature space, without rendering."""
    chosen = settings.chosen.structure
    if not chosen.feature_steps:
        return
    plan = FeaturePlan(chosen.feature_steps, chosen.feature_batch, chosen.feature_rate, TRUNCATION)
    training = FeatureTransfer(network, settings.profile.working_size, plan)
    fingerprint = cache_key(asdict(plan), settings.profile.seed, digest(network))
    steps, seed = chosen.feature_steps, settings.profile.seed
    watch = watched(network, settings)
    state = run("features", training, steps, seed, FEATURE_DECAY, fingerprint, watch)
    network.load_state_dict(state)


def watched(network: DualStyleGAN, settings: BaseSettings) -> Callable[[], dict[str, float]]:
    """Return a function that compares G(z1, f(z2), 1) with g(z_l+) on held-out pairs."""
    judge = open_judge(settings)
    pairs = [held_out.codes(network.generator, PAIRS, offset) for offset in range(2)]

    def watch() -> dict[str, float]:
        table = structure_figures(network, judge, pairs[0], pairs[1], settings.profile.working_size)
        return {f"{key}, {rows}": v for rows, row in table.items() for key, v in row.items()}

    return watch


def stage_2(
    found: NetworkSet,
    network: DualStyleGAN,
    settings: BaseSettings,
    plan: StructurePlan,
    discriminator: DiscriminatorTrainer,
) -> StructureTraining:
    """Build the training of structure transfer on images."""
    return StructureTraining(
        network,
        placed(found.encoder(), settings),
        discriminator,
        placed(found.perceptual(), settings),
        settings.profile.working_size,
        plan,
    )


def train_published(settings: BaseSettings, found: NetworkSet) -> None:
    """Run stage 2 of the published schedule on imported networks."""
    seed = settings.profile.seed
    torch.manual_seed(seed)
    network = placed(found.initial_dualstylegan(), settings)
    discriminator = placed(found.initial_discriminator(), settings)
    training = stage_2(
        found, network, settings, schedule.structure_plan(),
        DiscriminatorTrainer(discriminator, schedule.STRUCTURE_DISCRIMINATOR),
    )  # fmt: skip
    fingerprint = cache_key("published", seed, digest(network), digest(discriminator))
    decay = schedule.STRUCTURE_AVERAGE_DECAY
    steps = schedule.STRUCTURE_STEPS
    watch = watched(network, settings)
    state = run("structure", training, steps, seed, decay, fingerprint, watch)
    folder = Path(settings.profile.networks)
    save_tensors(folder / MODEL_FILE, state)
    save_tensors(folder / DISCRIMINATOR_FILE, discriminator.state_dict())
    forget("structure")
