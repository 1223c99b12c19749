"""Stage `adapt`: the generator g becomes g', fine-tuned on the exemplars."""

from __future__ import annotations

from dualstylegan.codes.tables import digest, read_codes
from dualstylegan.finetuning.adapt import AdaptPlan, AdaptTraining
from dualstylegan.finetuning.discriminator import DiscriminatorTrainer
from dualstylegan.io.files import sha256_file
from tasks.shared.caching import cache_key
from tasks.shared.feasibility import check_aligned
from tasks.shared.launch import run_training
from tasks.shared.live import Live
from tasks.shared.networks import open_networks, place
from tasks.shared.paths import Paths
from tasks.shared.runner import load_settings, prepare
from tasks.shared.settings import Settings
from tasks.shared.tensors import read_portraits
from tasks.shared.training import discriminator_plan, run_plan, train, trained_config, training_plan

# Part of the fingerprint: raise it when the training changes.
VERSION = 5


def adapt(settings: Settings, live: Live | None = None) -> None:
    """Train g' and write the set's models/adapted: network, curves and samples."""
    profile, options, runtime = settings.profile, settings.adapt, settings.runtime
    device = prepare(runtime)
    portraits = read_portraits(Paths.exemplars, profile.working_size).to(device)
    codes = read_codes(Paths.style_codes).select(portraits.names).to(device)
    networks = open_networks(profile)
    generator = place(networks.generator(), profile, device)
    discriminator = place(networks.discriminator(), profile, device)
    lpips = place(networks.lpips(), profile, device)
    fingerprint = cache_key(
        VERSION,
        profile.model_dump(),
        options.model_dump(),
        portraits.digests,
        sha256_file(Paths.style_codes),
        [digest(network) for network in (generator, discriminator, lpips)],
    )
    training = AdaptTraining(
        generator,
        DiscriminatorTrainer(discriminator, discriminator_plan(options)),
        lpips,
        portraits.images,
        codes,
        profile.working_size,
        training_plan(AdaptPlan, options),
        portraits.masks,
    )
    plan = run_plan(
        profile, options, runtime.save_seconds, runtime.picture_steps.adapt, fingerprint
    )
    train(
        "adapt",
        training,
        plan,
        trained_config(networks, profile).generator.model_dump(mode="json"),
        live,
    )


def main() -> None:
    """Run `python -m tasks.adapt [SET]`."""
    settings = load_settings()
    live = Live("adapt", settings)

    def stage() -> None:
        check_aligned(settings)
        adapt(settings, live)

    run_training("adapt", settings.runtime, settings.adapt.accumulation, stage)


if __name__ == "__main__":
    main()
