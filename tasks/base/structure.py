"""Stage `structure`: stages 1 and 2 of progressive fine-tuning, on the embedded networks or others.

On imported networks the published schedule holds, and the result goes beside them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from dualstylegan.codes.tables import digest
from dualstylegan.finetuning.discriminator import Adversary, AdversaryPlan
from dualstylegan.finetuning.step import Lazy
from dualstylegan.finetuning.structure import StructurePlan, StructureTraining
from dualstylegan.io.checkpoints import save_tensors
from dualstylegan.networks.config import MODEL_FILE
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.loading import (
    DISCRIMINATOR_FILE,
    EXTRINSIC_FILE,
    EmbeddedNetworks,
    Networks,
)
from dualstylegan.pretraining.structure import FeaturePlan, FeatureTransfer
from dualstylegan.published import schedule
from tasks.base import held_out
from tasks.base.common import forget, keep, networks, run
from tasks.base.measures import Judge, structure_figures
from tasks.base.settings import BaseSettings, Structure
from tasks.shared.runner import item_key
from tasks.shared.settings import Profile
from tasks.shared.tensors import open_networks, place

TRUNCATION = 0.9
FEATURE_DECAY = 0.99
PAIRS = 8


def structure_plan(chosen: Structure) -> StructurePlan:
    """Stage 2 on the embedded generator."""
    return StructurePlan(
        batch=chosen.batch,
        rate=chosen.rate,
        phases=((7, 0), (6, chosen.six_from), (5, chosen.five_from)),
        encoded_steps=4,
        adversarial_weight=0.05,
        perceptual_weight=1.0,
        pixel_weight=0.5,
        truncation=TRUNCATION,
        lazy=Lazy(),
    )


def train_structure(profile: Profile, settings: BaseSettings) -> None:
    """Stage 1 is the initialisation; stage 2 starts on features and goes on with images."""
    found = open_networks(profile)
    if not isinstance(found, EmbeddedNetworks):
        train_published(profile, found, settings.seed)
        return
    chosen = settings.chosen.structure
    torch.manual_seed(settings.seed)
    network = place(networks().initial_dualstylegan(), profile)
    start_on_features(network, profile, settings)
    discriminator = place(networks().initial_discriminator(), profile)
    training = stage_2(
        networks(), network, profile, structure_plan(chosen),
        Adversary(discriminator, AdversaryPlan(augment=0.0)),
    )  # fmt: skip
    fingerprint = item_key(chosen.model_dump(), settings.seed, digest(network))
    decay = chosen.average_decay
    watch = watched(network, profile)
    state = run("structure", training, chosen.steps, settings.seed, decay, fingerprint, watch)
    network.load_state_dict(state)
    keep(EXTRINSIC_FILE, network.extrinsic_state())
    keep(DISCRIMINATOR_FILE, discriminator.state_dict())
    for name in ("features", "structure"):
        forget(name)


def start_on_features(network: DualStyleGAN, profile: Profile, settings: BaseSettings) -> None:
    """Teach the network what can be learnt without rendering."""
    chosen = settings.chosen.structure
    if not chosen.feature_steps:
        return
    plan = FeaturePlan(chosen.feature_steps, chosen.feature_batch, chosen.feature_rate, TRUNCATION)
    training = FeatureTransfer(network, profile.working_size, plan)
    fingerprint = item_key(asdict(plan), settings.seed, digest(network))
    steps = chosen.feature_steps
    watch = watched(network, profile)
    state = run("features", training, steps, settings.seed, FEATURE_DECAY, fingerprint, watch)
    network.load_state_dict(state)


def watched(network: DualStyleGAN, profile: Profile) -> Callable[[], dict[str, float]]:
    """Whom to ask how near G(z1, f(z2), 1) is to g(z_l+) on pairs that no training sees."""
    found = networks()
    judge = Judge(place(found.lpips(), profile), place(found.identity(), profile))
    pairs = [held_out.codes(network.generator, PAIRS, offset) for offset in range(2)]

    def watch() -> dict[str, float]:
        table = structure_figures(network, judge, pairs[0], pairs[1], profile.working_size)
        return {f"{key}, {rows}": v for rows, row in table.items() for key, v in row.items()}

    return watch


def stage_2(
    found: Networks,
    network: DualStyleGAN,
    profile: Profile,
    plan: StructurePlan,
    adversary: Adversary,
) -> StructureTraining:
    """Structure transfer on images."""
    return StructureTraining(
        network,
        place(found.encoder(), profile),
        adversary,
        place(found.perceptual(), profile),
        profile.working_size,
        plan,
    )


def train_published(profile: Profile, found: Networks, seed: int) -> None:
    """Stage 2 of the published schedule on imported networks."""
    torch.manual_seed(seed)
    network = place(found.initial_dualstylegan(), profile)
    discriminator = place(found.initial_discriminator(), profile)
    adversary = Adversary(discriminator, schedule.STRUCTURE_ADVERSARY)
    training = stage_2(found, network, profile, schedule.structure_plan(), adversary)
    fingerprint = item_key("published", seed, digest(network), digest(discriminator))
    decay = schedule.STRUCTURE_AVERAGE_DECAY
    steps = schedule.STRUCTURE_STEPS
    watch = watched(network, profile)
    state = run("structure", training, steps, seed, decay, fingerprint, watch)
    folder = Path(profile.networks)
    save_tensors(folder / MODEL_FILE, state)
    save_tensors(folder / DISCRIMINATOR_FILE, discriminator.state_dict())
    forget("structure")
