"""Stage `pastiche`: the extrinsic path goes on, after stage 2, from processes that are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch

from dualstylegan.codes.tables import digest
from dualstylegan.faces.detect import DETECTOR_FILE
from dualstylegan.faces.landmarks import PREDICTOR_FILE
from dualstylegan.faces.plausible import PlausibleLandmarks
from dualstylegan.io.images import write_png
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.facenet import cosine
from dualstylegan.networks.loading import EXTRINSIC_FILE, EmbeddedNetworks, load_extrinsic
from dualstylegan.pretraining.painting.paint import PAINTER_FILE, Painter
from dualstylegan.pretraining.pastiche import (
    FaceRing,
    PastichePlan,
    PasticheTraining,
    held_out_panel,
)
from tasks.base.common import STRUCTURE_FILE, forget, keep, networks, placed, run
from tasks.base.measures import open_judge
from tasks.base.settings import BaseSettings
from tasks.shared.caching import cache_key, weight_digests
from tasks.shared.paths import Paths

FOLDER = "pastiche"


def first_network(start: Literal["structure", "shipped"]) -> DualStyleGAN:
    """Load the network of stage 2, or the shipped one, which has seen pastiches already."""
    if start == "shipped":
        return EmbeddedNetworks(Paths.weights, Paths.base).dualstylegan()
    return load_extrinsic(networks().initial_dualstylegan(), Paths.base_build / STRUCTURE_FILE)


def train_pastiche(settings: BaseSettings) -> None:
    """Train the extrinsic path on pastiches and write the base model."""
    chosen = settings.chosen.pastiche
    network = placed(first_network(chosen.start), settings)
    judge = open_judge(settings)
    found = networks()
    landmarks, painter = PlausibleLandmarks(Paths.weights), Painter(Paths.weights)
    plan = PastichePlan(
        chosen.steps,
        chosen.rate,
        chosen.identity_weight,
        chosen.jitter,
        chosen.ring_faces,
        chosen.first,
    )
    encoder = placed(found.encoder(), settings)
    fingerprint = cache_key(
        chosen.model_dump(),
        settings.profile.seed,
        [digest(module) for module in (network, encoder)],
        weight_digests((DETECTOR_FILE, PREDICTOR_FILE, PAINTER_FILE)),
    )
    training = PasticheTraining(
        network,
        encoder,
        judge.lpips,
        judge.identity,
        painter,
        FaceRing(network.generator, landmarks, chosen.ring_faces),
        settings.profile.working_size,
        plan,
    )
    decay, seed = chosen.average_decay, settings.profile.seed
    watch = watched(training, settings)
    state = run(FOLDER, training, chosen.steps, seed, decay, fingerprint, watch)
    network.load_state_dict(state)
    keep(EXTRINSIC_FILE, network.extrinsic_state())
    write_png(Paths.base_build / f"{FOLDER}.png", training.picture())
    forget(FOLDER)


def watched(training: PasticheTraining, settings: BaseSettings) -> Callable[[], dict[str, float]]:
    """Return a function that compares G's pastiches of held-out faces with the true ones."""
    judge = open_judge(settings)
    panel = held_out_panel(training.generator, training.ring.model, training.painter, training.size)

    @torch.no_grad()
    def watch() -> dict[str, float]:
        lpips, own, right = [], [], []
        for target, exemplar in zip(panel.pastiche_PNCHW, panel.exemplar_PCHW, strict=True):
            made = training.restyle(panel.code_NLD, exemplar)
            lpips.append(judge.lpips(made, target).mean())
            reached, wanted = judge.facenet(made), judge.facenet(target)
            similar = torch.stack([cosine(reached, w.expand_as(reached)) for w in wanted], 1)
            own.append(similar.diagonal().mean())
            right.append((similar.argmax(1) == torch.arange(len(similar))).float().mean())
        figures = {"lpips": lpips, "identity": own, "recognised": right}
        return {name: float(torch.stack(values).mean()) for name, values in figures.items()}

    return watch
