"""Stage `finetune`: stage 3 of progressive fine-tuning, from pairs of exemplars to DualStyleGAN."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dualstylegan.codes.tables import digest, digest_codes, read_codes
from dualstylegan.finetuning.discriminator import DiscriminatorTrainer
from dualstylegan.finetuning.style import StylePlan, StyleTraining
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.loading import NetworkSet
from tasks.shared.caching import cache_key
from tasks.shared.networks import open_networks, place
from tasks.shared.paths import Paths
from tasks.shared.runner import load_settings, prepare, run_stage
from tasks.shared.settings import Finetune, Profile, Settings
from tasks.shared.tensors import PortraitSet, read_portraits
from tasks.shared.tracking import Live
from tasks.shared.training import discriminator_plan, run_plan, train, trained_config, training_plan

VERSION = 7


@dataclass(frozen=True)
class Lessons:
    """What stage 3 learns from: exemplars at the working size and their pairs (z_i+, z_e+)."""

    portraits: PortraitSet
    intrinsic_NLD: Tensor
    extrinsic_NLD: Tensor

    @staticmethod
    def read(profile: Profile, device: torch.device) -> Lessons:
        """From what the stages before made (CheckpointError, DataError)."""
        portraits = read_portraits(Paths.exemplars, profile.working_size).to(device)
        intrinsic, extrinsic = (
            read_codes(file).select(portraits.names).to(device)
            for file in (Paths.intrinsic_codes, Paths.extrinsic_codes)
        )
        return Lessons(portraits, intrinsic, extrinsic)


def style_training(
    profile: Profile,
    chosen: Finetune,
    networks: NetworkSet,
    network: DualStyleGAN,
    lessons: Lessons,
) -> tuple[StyleTraining, str]:
    """Stage 3 as the settings have it, and a fingerprint of all that its result depends on."""
    device = lessons.portraits.pixels_NCHW.device
    network = place(network, profile, device)
    discriminator = place(networks.discriminator(), profile, device)
    perceptual = place(networks.perceptual(), profile, device)
    identity = place(networks.identity(), profile, device)
    fingerprint = cache_key(
        VERSION,
        profile.model_dump(),
        chosen.model_dump(),
        lessons.portraits.sha256,
        [digest_codes(codes) for codes in (lessons.intrinsic_NLD, lessons.extrinsic_NLD)],
        [digest(module) for module in (network, discriminator, perceptual, identity)],
    )
    training = StyleTraining(
        network,
        DiscriminatorTrainer(discriminator, discriminator_plan(chosen)),
        perceptual,
        identity,
        lessons.portraits.images,
        lessons.intrinsic_NLD,
        lessons.extrinsic_NLD,
        profile.working_size,
        training_plan(StylePlan, chosen),
    )
    return training, fingerprint


def finetune(settings: Settings, live: Live | None = None) -> None:
    """Make data/models/finetuned: config.json, model.safetensors, curves and samples."""
    profile, chosen, runtime = settings.profile, settings.finetune, settings.runtime
    device = prepare(runtime)
    lessons = Lessons.read(profile, device)
    networks = open_networks(profile)
    training, fingerprint = style_training(
        profile, chosen, networks, networks.dualstylegan(), lessons
    )
    plan = run_plan(
        profile,
        chosen,
        runtime.save_seconds,
        runtime.picture_steps.finetune,
        fingerprint,
        chosen.check_steps,
        chosen.patience,
    )
    config = trained_config(networks, profile).model_dump(mode="json")
    train("finetune", training, plan, config, live)


def main() -> None:
    """`python -m tasks.finetune`."""
    settings = load_settings()
    live = Live("finetune", settings)
    run_stage("finetune", lambda: finetune(settings, live))


if __name__ == "__main__":
    main()
