"""Stage `heads`: RGB heads of the embedded generator, regressed onto its own full output."""

from __future__ import annotations

from typing import cast

import torch

from dualstylegan.checkpoints import load_tensors
from dualstylegan.models import GENERATOR_FILE, HEADS_FILE, frozen
from dualstylegan.networks.mobilestylegan import MobileStyleGAN, RgbHead
from dualstylegan.pretraining.heads import fit_head, sample_pixels
from dualstylegan.pretraining.settings import BaseSettings
from dualstylegan.settings import Profile
from tasks.base.common import keep
from tasks.common import Paths, Progress


def train_heads(profile: Profile, settings: BaseSettings) -> None:
    """Fit the heads and say how well they do on held-out faces."""
    chosen = settings.chosen.heads
    generator = frozen(MobileStyleGAN())
    generator.load_state_dict(load_tensors(Paths.weights / GENERATOR_FILE), strict=False)
    draw = torch.Generator().manual_seed(settings.seed)
    progress = Progress("heads: faces", chosen.images)
    samples = sample_pixels(generator, chosen.images, chosen.pixels, draw, progress)
    for size, part in samples.items():
        head = cast(RgbHead, generator.heads[str(size)])
        decibel = fit_head(head, part, chosen.steps, chosen.rate, draw)
        print(f"heads: {size} px: {decibel:.2f} dB on held-out faces")
    keep(HEADS_FILE, {f"heads.{k}": v for k, v in generator.heads.state_dict().items()})
