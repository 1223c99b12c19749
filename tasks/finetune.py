"""Stage `finetune`: stage 3 of progressive fine-tuning, from pairs of exemplars to DualStyleGAN."""

from __future__ import annotations

from dualstylegan.files import sha256_file
from dualstylegan.finetuning.adversary import Adversary
from dualstylegan.finetuning.style import StylePlan, StyleTraining
from dualstylegan.latents import digest, read_codes
from dualstylegan.settings import Finetune, Profile
from tasks.batches import open_networks, place, prepare, read_portraits
from tasks.common import Paths, item_key, load_settings, run_stage
from tasks.tracking import Live
from tasks.training import adversary_plan, chosen_plan, run_plan, train, trained_config

EXTRINSIC = Paths.codes / "exstyle.parquet"
INTRINSIC = Paths.codes / "instyle.parquet"
STYLES = Paths.aligned / "style"
VERSION = 1


def finetune(profile: Profile, chosen: Finetune, live: Live | None = None) -> None:
    """Make data/models/finetuned: config.json, model.safetensors, curves and samples."""
    device = prepare(profile)
    portraits = read_portraits(STYLES, profile.working_size).to(device)
    intrinsic = read_codes(INTRINSIC).select(portraits.names).to(device)
    extrinsic = read_codes(EXTRINSIC).select(portraits.names).to(device)
    networks = open_networks(profile)
    network = place(networks.dualstylegan(), profile)
    discriminator = place(networks.discriminator(), profile)
    perceptual = place(networks.perceptual(), profile)
    identity = place(networks.identity(), profile)
    fingerprint = item_key(
        VERSION,
        profile.model_dump(exclude={"threads", "output_size"}),
        chosen.model_dump(exclude={"save_seconds", "picture_steps"}),
        portraits.sha256,
        [sha256_file(INTRINSIC), sha256_file(EXTRINSIC)],
        [digest(module) for module in (network, discriminator, perceptual, identity)],
    )
    training = StyleTraining(
        network,
        Adversary(discriminator, adversary_plan(chosen)),
        perceptual,
        identity,
        portraits.images,
        intrinsic,
        extrinsic,
        profile.working_size,
        chosen_plan(StylePlan, chosen),
    )
    plan = run_plan(profile, chosen, fingerprint, chosen.check_steps, chosen.patience)
    train(
        "finetune", training, plan, trained_config(networks, profile).model_dump(mode="json"), live
    )


def main() -> None:
    """`python -m tasks.finetune`."""
    settings = load_settings()
    live = Live("finetune", settings)
    run_stage("finetune", lambda: finetune(settings.profile, settings.finetune, live))


if __name__ == "__main__":
    main()
