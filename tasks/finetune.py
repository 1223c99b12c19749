"""Stage `finetune`: stage 3 of progressive fine-tuning, from pairs of exemplars to DualStyleGAN."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from dualstylegan.files import sha256_file
from dualstylegan.finetuning.adversary import Adversary, AdversaryPlan
from dualstylegan.finetuning.style import STAGES, StylePlan, StyleTraining
from dualstylegan.finetuning.trainer import RunPlan
from dualstylegan.latents import digest, read_codes
from dualstylegan.model_config import NetworkConfig
from dualstylegan.models import (
    MOD_RES_HIDDEN,
    load_discriminator,
    load_dualstylegan,
    load_identity,
    load_perceptual,
)
from dualstylegan.networks.mobilestylegan import CHANNELS
from dualstylegan.networks.vgg import LPIPS
from dualstylegan.settings import Finetune, Profile
from tasks.batches import place, prepare, read_portraits
from tasks.common import Paths, item_key, load_settings, run_stage
from tasks.tracking import Live
from tasks.training import train

EXTRINSIC = Paths.codes / "exstyle.parquet"
INTRINSIC = Paths.codes / "instyle.parquet"
STYLES = Paths.aligned / "style"
VERSION = 1


def first_stages(lpips: LPIPS) -> Callable[[Tensor], list[Tensor]]:
    """The feature maps that stage 3 looks at; the deeper ones are not computed."""

    def features(image_NCHW: Tensor) -> list[Tensor]:
        maps: list[Tensor] = lpips.vgg(image_NCHW, STAGES)
        return maps

    return features


def finetune(profile: Profile, chosen: Finetune, live: Live | None = None) -> None:
    """Make data/models/finetuned: config.json, model.safetensors, curves and samples."""
    device = prepare(profile)
    portraits = read_portraits(STYLES, profile.working_size).to(device)
    intrinsic = read_codes(INTRINSIC).select(portraits.names).to(device)
    extrinsic = read_codes(EXTRINSIC).select(portraits.names).to(device)
    network = place(load_dualstylegan(Paths.weights, Paths.base), profile)
    discriminator = place(load_discriminator(Paths.base), profile)
    lpips = place(load_perceptual(Paths.weights), profile)
    identity = place(load_identity(Paths.weights), profile)
    fingerprint = item_key(
        VERSION,
        profile.model_dump(exclude={"threads", "output_size"}),
        chosen.model_dump(exclude={"save_seconds", "picture_steps"}),
        portraits.sha256,
        [sha256_file(INTRINSIC), sha256_file(EXTRINSIC)],
        [digest(module) for module in (network, discriminator, lpips, identity)],
    )
    training = StyleTraining(
        network,
        Adversary(discriminator, AdversaryPlan(rate=chosen.adversary_rate, augment=chosen.augment)),
        first_stages(lpips),
        identity,
        portraits.images,
        intrinsic,
        extrinsic,
        profile.working_size,
        style_plan(chosen),
    )
    plan = RunPlan(
        steps=chosen.steps,
        seed=profile.seed,
        average_decay=chosen.average_decay,
        save_seconds=chosen.save_seconds,
        picture_steps=chosen.picture_steps,
        fingerprint=fingerprint,
    )
    config = NetworkConfig(res_channels=CHANNELS[0], res_hidden=MOD_RES_HIDDEN)
    train("finetune", training, plan, config.model_dump(mode="json"), live)


def style_plan(chosen: Finetune) -> StylePlan:
    """The settings that stage 3 itself reads."""
    names = StylePlan.__dataclass_fields__
    return StylePlan(**{k: v for k, v in chosen.model_dump().items() if k in names})


def main() -> None:
    """`python -m tasks.finetune`."""
    settings = load_settings()
    live = Live("finetune", settings)
    run_stage("finetune", lambda: finetune(settings.profile, settings.finetune, live))


if __name__ == "__main__":
    main()
