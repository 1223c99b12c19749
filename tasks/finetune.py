"""Stage `finetune`: stage 3 of progressive fine-tuning, from pairs of exemplars to DualStyleGAN."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dualstylegan.codes.tables import digest, digest_codes, read_codes
from dualstylegan.faces.detect import DETECTOR_FILE
from dualstylegan.faces.landmarks import PREDICTOR_FILE
from dualstylegan.faces.plausible import PlausibleLandmarks
from dualstylegan.finetuning.discriminator import DiscriminatorTrainer
from dualstylegan.finetuning.exaggeration import Exaggeration, natural_shapes
from dualstylegan.finetuning.style import StylePlan, StyleTraining
from dualstylegan.networks import ranks
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.generator import Generator
from dualstylegan.networks.loading import NetworkSet
from tasks.shared.caching import cache_key, weight_digests
from tasks.shared.feasibility import check_aligned
from tasks.shared.launch import run_training
from tasks.shared.live import Live
from tasks.shared.networks import open_networks, place
from tasks.shared.paths import Paths
from tasks.shared.runner import load_settings, prepare
from tasks.shared.settings import Finetune, Profile, Settings
from tasks.shared.tensors import PortraitSet, read_portraits
from tasks.shared.training import discriminator_plan, run_plan, train, trained_config, training_plan

# Part of the fingerprint: raise it when the training changes.
VERSION = 14


@dataclass(frozen=True)
class TrainingPairs:
    """Training set of stage 3: exemplars at the working size and their pairs (z_i+, z_e+)."""

    portraits: PortraitSet
    intrinsic_NLD: Tensor
    extrinsic_NLD: Tensor

    @staticmethod
    def read(profile: Profile, device: torch.device) -> TrainingPairs:
        """Read the outputs of `align` and `destylize` (CheckpointError, DataError)."""
        portraits = read_portraits(Paths.exemplars, profile.working_size).to(device)
        intrinsic, extrinsic = (
            read_codes(file).select(portraits.names).to(device)
            for file in (Paths.intrinsic_codes, Paths.extrinsic_codes)
        )
        return TrainingPairs(portraits, intrinsic, extrinsic)


def exaggeration(
    generator: Generator, portraits: PortraitSet, size: int, options: Finetune
) -> Exaggeration | None:
    """Measure the exemplars' exaggerations; None if the settings turn them off.

    None, too, if the generator renders no faces, as one that is not trained.
    """
    if not options.exaggeration:
        return None
    model = PlausibleLandmarks(Paths.weights)
    exemplars = portraits.images(torch.arange(len(portraits.names)))
    natural = natural_shapes(generator, model, size)
    if natural is None:
        if ranks.is_first():
            print("no exaggeration: the generator's faces have no landmarks")
        return None
    return Exaggeration(model, natural, exemplars, options.exaggeration)


def style_training(
    profile: Profile,
    options: Finetune,
    networks: NetworkSet,
    network: DualStyleGAN,
    pairs: TrainingPairs,
) -> tuple[StyleTraining, str]:
    """Return stage 3 under the settings, and a fingerprint of all that its result depends on."""
    device = pairs.portraits.pixels_NCHW.device
    network = place(network, profile, device)
    discriminator = place(networks.discriminator(), profile, device)
    perceptual = place(networks.perceptual(), profile, device)
    identity = place(networks.identity(), profile, device)
    shapes = exaggeration(network.generator, pairs.portraits, profile.working_size, options)
    fingerprint = cache_key(
        VERSION,
        profile.model_dump(),
        options.model_dump(),
        pairs.portraits.digests,
        weight_digests((DETECTOR_FILE, PREDICTOR_FILE)) if shapes else None,
        [digest_codes(codes) for codes in (pairs.intrinsic_NLD, pairs.extrinsic_NLD)],
        [digest(module) for module in (network, discriminator, perceptual, identity)],
    )
    training = StyleTraining(
        network,
        DiscriminatorTrainer(discriminator, discriminator_plan(options)),
        perceptual,
        identity,
        pairs.portraits.images,
        pairs.intrinsic_NLD,
        pairs.extrinsic_NLD,
        profile.working_size,
        training_plan(StylePlan, options),
        pairs.portraits.masks,
        shapes,
    )
    return training, fingerprint


def finetune(settings: Settings, live: Live | None = None) -> None:
    """Train stage 3 and write the set's models/finetuned: network, curves and samples."""
    profile, options, runtime = settings.profile, settings.finetune, settings.runtime
    device = prepare(runtime)
    pairs = TrainingPairs.read(profile, device)
    networks = open_networks(profile)
    training, fingerprint = style_training(
        profile, options, networks, networks.dualstylegan(), pairs
    )
    plan = run_plan(
        profile,
        options,
        runtime.save_seconds,
        runtime.picture_steps.finetune,
        fingerprint,
        options.check_steps,
        options.patience,
    )
    config = trained_config(networks, profile).model_dump(mode="json")
    train("finetune", training, plan, config, live)


def main() -> None:
    """Run `python -m tasks.finetune [SET]`."""
    settings = load_settings()
    live = Live("finetune", settings)

    def stage() -> None:
        check_aligned(settings)
        finetune(settings, live)

    run_training("finetune", settings.runtime, settings.finetune.accumulation, stage)


if __name__ == "__main__":
    main()
