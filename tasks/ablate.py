"""Stage `ablate`: stage 3 without its parts, one at a time, measured alike and side by side.

Nine trainings take nine times as long as one: with `ablate.steps: 0` there are none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from dualstylegan.checkpoints import load_tensors, save_tensors
from dualstylegan.evaluation.gallery import Gallery, dualstylegan
from dualstylegan.evaluation.leaderboard import Entry, compare
from dualstylegan.evaluation.probe import Probe
from dualstylegan.evaluation.run import Plan, hang, render_natural, spread_evenly
from dualstylegan.files import atomic_directory, write_json
from dualstylegan.finetuning.ablations import ABLATIONS, COMPLETE, REFINED, Ablation
from dualstylegan.finetuning.trainer import Trainer
from dualstylegan.images import write_png
from dualstylegan.inversion import DescentPlan
from dualstylegan.latents import read_codes
from dualstylegan.models import Networks, frozen, load_identity, load_perceptual
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.refinement import refine
from dualstylegan.settings import Settings
from dualstylegan.transfer import PortraitModel
from tasks.batches import open_networks, place, prepare
from tasks.common import Paths, load_settings, parts_shown, run_stage
from tasks.evaluate import CODES, CONTENTS, EXEMPLARS, MODEL, portraits, to_picture
from tasks.finetune import Lessons, style_training
from tasks.training import run_plan, step_progress

OUT = Paths.reports / "ablations"
FACTS = "ablations.json"
KEPT = Paths.cache / "ablate"
STRIP_STYLES = 3


def without(ablation: Ablation, lessons: Lessons) -> Lessons:
    """The pairs that an ablation learns from."""
    return lessons if ablation.pairs else replace(lessons, intrinsic_NLD=lessons.extrinsic_NLD)


def trained(
    ablation: Ablation, settings: Settings, networks: Networks, lessons: Lessons
) -> DualStyleGAN:
    """Stage 3 under an ablation, from data/cache if it was trained before.

    All have the settings of the stage `finetune`, `ablate.steps` steps, fixed lambdas and no choice
    of checkpoints, so that they differ in what is left out and in nothing else.
    """
    fixed = {"steps": settings.ablate.steps, "identity_goal": 0.0, "check_steps": 0}
    chosen = settings.finetune.model_copy(update=fixed | dict(ablation.weights))
    profile = settings.profile
    torch.manual_seed(profile.seed)
    network = (
        networks.dualstylegan()
        if ablation.structure_transfer
        else (networks.initial_dualstylegan())
    )
    learnt = without(ablation, lessons)
    training, fingerprint = style_training(profile, chosen, networks, network, learnt)
    kept = KEPT / f"{fingerprint[:16]}.safetensors"
    if not kept.is_file():
        plan = run_plan(profile, chosen, fingerprint)
        show = step_progress(ablation.name, plan.steps)
        state = KEPT / f"{fingerprint[:16]}.state"
        trainer = Trainer(training, plan, state, show)
        trainer.run()
        save_tensors(kept, trainer.averaged_state())
        state.unlink(missing_ok=True)
    network.load_state_dict(load_tensors(kept))
    return frozen(network)


def refined(
    model: PortraitModel, gallery: Gallery, exemplar_SCHW: Tensor, settings: Settings
) -> Gallery:
    """The gallery with its extrinsic codes tuned on a model, as the stage `refine` does it."""
    chosen = settings.refine
    found = refine(
        model.network,
        place(load_perceptual(Paths.weights), settings.profile),
        exemplar_SCHW,
        gallery.intrinsic_SLD,
        gallery.extrinsic_SLD,
        DescentPlan(chosen.steps),
        structure_rate=chosen.structure_rate,
        color_rate=chosen.color_rate,
    )
    return replace(gallery, extrinsic_SLD=found.latents[0].detach())


def measured(settings: Settings) -> Iterator[Entry]:
    """Every ablation with its figures and pictures, one after the other."""
    device = prepare(settings.profile)
    packaged = PortraitModel.from_pretrained(MODEL, device=device, weights_dir=Paths.weights)
    plan = Plan(contents=settings.ablate.faces, styles=settings.ablate.styles)
    table = read_codes(CODES)
    gallery = hang(
        packaged,
        spread_evenly(portraits(CONTENTS), plan.contents),
        dict(zip(table.names, table.codes_NLD, strict=True)),
        spread_evenly(portraits(EXEMPLARS, packaged.styles.names), plan.styles),
        plan,
    )
    networks, lessons = open_networks(settings.profile), Lessons.read(settings.profile, device)
    places = [lessons.portraits.names.index(name) for name in gallery.styles]
    probe = Probe(
        load_perceptual(Paths.weights).to(packaged.device),
        load_identity(Paths.weights).to(packaged.device),
        plan.measure_size,
        plan.batch,
        packaged.device,
    )

    def measure(name: str, model: PortraitModel, shown: Gallery) -> list[Entry]:
        method = {name: dualstylegan(model, plan.size)}
        natural = render_natural(model, shown, plan)
        return compare(method, shown, natural, probe, plan, parts_shown())

    for ablation in ABLATIONS:
        learnt = without(ablation, lessons)
        network = place(trained(ablation, settings, networks, lessons), settings.profile)
        model = PortraitModel(packaged.config, network, packaged.encoder, packaged.styles)
        shown = replace(
            gallery,
            intrinsic_SLD=learnt.intrinsic_NLD[places],
            extrinsic_SLD=learnt.extrinsic_NLD[places],
        )
        yield from measure(ablation.name, model, shown)
        if ablation is COMPLETE:
            exemplars = learnt.portraits.images(places)
            yield from measure(REFINED, model, refined(model, shown, exemplars, settings))


def write_strip(out: Path, entries: list[Entry], styles: int) -> None:
    """The first face in some styles under each ablation: `pictures/PLACE/STYLE.png`."""
    for place_, entry in enumerate(entries):
        for style, picture in enumerate(entry.results[0, :styles]):
            write_png(out / "pictures" / f"{place_:02d}" / f"{style:02d}.png", to_picture(picture))


def ablate(settings: Settings) -> None:
    """Make data/reports/ablations: figures and pictures, none where no steps are set."""
    entries = list(measured(settings)) if settings.ablate.steps else []
    with atomic_directory(OUT) as out:
        write_strip(out, entries, STRIP_STYLES)
        figures = [
            {"name": e.name, "figures": {k: v.as_dict() for k, v in e.figures.items()}}
            for e in entries
        ]
        write_json(out / FACTS, {"steps": settings.ablate.steps, "entries": figures})


def main() -> None:
    """`python -m tasks.ablate`."""
    settings = load_settings()
    run_stage("ablate", lambda: ablate(settings))


if __name__ == "__main__":
    main()
