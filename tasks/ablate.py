"""Stage `ablate`: stage 3 with one part left out at a time, measured on the same faces and styles.

It runs nine trainings, unless `ablate.steps` is 0.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from dualstylegan.codes.inversion import OptimizationSchedule
from dualstylegan.codes.refinement import refine
from dualstylegan.evaluation.eval_set import EvalSet, dualstylegan
from dualstylegan.evaluation.leaderboard import MethodResult, measure_methods
from dualstylegan.evaluation.rendering import render_natural
from dualstylegan.finetuning.ablations import ABLATIONS, COMPLETE, REFINED, Ablation
from dualstylegan.finetuning.trainer import Trainer
from dualstylegan.io.checkpoints import load_tensors, save_tensors
from dualstylegan.io.files import atomic_directory, write_json
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.loading import NetworkSet, freeze, load_perceptual
from dualstylegan.networks.masks import Mask
from dualstylegan.portrait.model import PortraitModel
from tasks import evaluate
from tasks.finetune import TrainingPairs, style_training
from tasks.leaderboard import FACTS, open_eval_set, write_board
from tasks.shared.curves import step_progress
from tasks.shared.networks import open_networks, place
from tasks.shared.pastiches import read_pastiches
from tasks.shared.paths import Paths
from tasks.shared.progress import progress_by_name
from tasks.shared.results import plan_of
from tasks.shared.runner import load_settings, run_stage
from tasks.shared.settings import Settings
from tasks.shared.training import run_plan

CACHE = Paths.cache / "ablate"


def without(ablation: Ablation, pairs: TrainingPairs) -> TrainingPairs:
    """Return the training pairs of an ablation."""
    return pairs if ablation.pairs else replace(pairs, intrinsic_NLD=pairs.extrinsic_NLD)


def trained(
    ablation: Ablation, settings: Settings, networks: NetworkSet, pairs: TrainingPairs
) -> DualStyleGAN:
    """Train stage 3 under an ablation, or load it from data/cache.

    All ablations use the settings of the stage `finetune` with `ablate.steps` steps and the
    last checkpoint, so that they differ only in the part that is left out.
    """
    fixed = {"steps": settings.ablate.steps, "check_steps": 0}
    chosen = settings.finetune.model_copy(update=fixed | dict(ablation.weights))
    profile = settings.profile
    torch.manual_seed(profile.seed)
    network = (
        networks.dualstylegan()
        if ablation.structure_transfer
        else (networks.initial_dualstylegan())
    )
    own_pairs = without(ablation, pairs)
    training, fingerprint = style_training(profile, chosen, networks, network, own_pairs)
    cached = CACHE / f"{fingerprint[:16]}.safetensors"
    if not cached.is_file():
        runtime = settings.runtime
        plan = run_plan(
            profile, chosen, runtime.save_seconds, runtime.picture_steps.finetune, fingerprint
        )
        show = step_progress(ablation.name, plan.steps)
        state = CACHE / f"{fingerprint[:16]}.state"
        trainer = Trainer(training, plan, state, show)
        trainer.run()
        save_tensors(cached, trainer.averaged_state())
        state.unlink(missing_ok=True)
    network.load_state_dict(load_tensors(cached))
    return freeze(network)


def refined(
    model: PortraitModel,
    eval_set: EvalSet,
    exemplar_SCHW: Tensor,
    mask_S1HW: Mask,
    settings: Settings,
) -> EvalSet:
    """Refine the extrinsic codes of an evaluation set on a model, as the stage `refine` does."""
    chosen = settings.refine
    refinement = refine(
        model.network,
        place(load_perceptual(Paths.weights), settings.profile, model.device),
        exemplar_SCHW,
        eval_set.intrinsic_SLD,
        eval_set.extrinsic_SLD,
        OptimizationSchedule(chosen.steps),
        structure_rate=chosen.structure_rate,
        color_rate=chosen.color_rate,
        mask_N1HW=mask_S1HW,
    )
    return replace(eval_set, extrinsic_SLD=refinement.latents[0].detach())


def run_ablations(settings: Settings) -> tuple[list[MethodResult], EvalSet]:
    """Train and measure every ablation, the complete method first; also return the eval set."""
    plan = plan_of(settings)
    packaged, eval_set = open_eval_set(settings.ablate, settings)
    networks = open_networks(settings.profile)
    pairs = TrainingPairs.read(settings.profile, packaged.device)
    indices = [pairs.portraits.names.index(name) for name in eval_set.styles]
    extractor = evaluate.open_extractor(plan, packaged.device)
    pastiches = read_pastiches()
    measured: list[MethodResult] = []

    def measure(name: str, model: PortraitModel, ablated_set: EvalSet) -> None:
        method = {name: dualstylegan(model, plan.size)}
        natural = render_natural(model, ablated_set, plan)
        measured.extend(
            measure_methods(
                method, ablated_set, natural, extractor, plan, progress_by_name(), pastiches
            )
        )

    for ablation in ABLATIONS:
        own_pairs = without(ablation, pairs)
        network = trained(ablation, settings, networks, pairs)
        network = place(network, settings.profile, packaged.device)
        model = PortraitModel(packaged.config, network, packaged.encoder, packaged.styles)
        ablated_set = replace(
            eval_set,
            intrinsic_SLD=own_pairs.intrinsic_NLD[indices],
            extrinsic_SLD=own_pairs.extrinsic_NLD[indices],
        )
        measure(ablation.name, model, ablated_set)
        if ablation is COMPLETE:
            portraits = own_pairs.portraits
            images, masks = portraits.images(indices), portraits.masks(indices)
            measure(REFINED, model, refined(model, ablated_set, images, masks, settings))
    return measured, eval_set


def ablate(settings: Settings) -> None:
    """Write the set's reports/ablations; it is empty if `ablate.steps` is 0."""
    steps = settings.ablate.steps
    if not steps:
        with atomic_directory(Paths.ablations) as out:
            write_json(out / FACTS, {"lede": "", "pairs": [], "rows": []})
        return
    measured, eval_set = run_ablations(settings)
    lede = (
        f"Stage 3 trained for {steps} steps with one part of the method left out at a time, on the "
        "same faces and exemplars, with fixed lambdas and without refinement unless named."
    )
    write_board(Paths.ablations, measured, eval_set, lede)


def main() -> None:
    """`python -m tasks.ablate [SET]`."""
    settings = load_settings()
    run_stage("ablate", lambda: ablate(settings))


if __name__ == "__main__":
    main()
