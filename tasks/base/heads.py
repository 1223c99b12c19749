"""Stage `heads`: training of the embedded generator's RGB heads on its full output."""

from __future__ import annotations

import torch

from dualstylegan.codes.tables import digest
from dualstylegan.io.checkpoints import load_tensors
from dualstylegan.networks.loading import GENERATOR_FILE, HEADS_FILE, freeze
from dualstylegan.networks.mobilestylegan import MobileStyleGAN
from dualstylegan.pretraining.heads import HeadPlan, HeadTraining, sample_pixels
from tasks.base.common import forget, keep, placed, run
from tasks.base.settings import BaseSettings
from tasks.shared.caching import cache_key
from tasks.shared.paths import Paths
from tasks.shared.progress import Progress

# Disjoint from the seeds of other trainings and of held-out faces.
FIRST_SEED = 50_000_000


def train_heads(settings: BaseSettings) -> None:
    """Train the heads and print their PSNR on held-out faces."""
    chosen = settings.chosen.heads
    torch.manual_seed(settings.profile.seed)
    generator = freeze(MobileStyleGAN())
    generator.load_state_dict(load_tensors(Paths.weights / GENERATOR_FILE), strict=False)
    placed(generator, settings)
    progress = Progress("heads", chosen.images, "faces")
    seed = FIRST_SEED + settings.profile.seed
    samples, codes = sample_pixels(generator, chosen.images, chosen.pixels, seed, progress)
    generator.compute_dtype = torch.float32
    training = HeadTraining(generator, samples, codes, HeadPlan(chosen.steps, chosen.rate))
    fingerprint = cache_key(chosen.model_dump(), settings.profile.seed, digest(generator))
    decay, seed = chosen.average_decay, settings.profile.seed
    state = run("heads", training, chosen.steps, seed, decay, fingerprint, watch=training.held_out)
    generator.heads.load_state_dict(state)
    for size, figure in training.held_out().items():
        print(f"heads: {size}: {figure:.2f} dB on held-out faces")
    keep(HEADS_FILE, {f"heads.{k}": v for k, v in state.items()})
    forget("heads")
