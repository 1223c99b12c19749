"""Stage `leaderboard`: comparison of the model with simpler methods.

DualStyleGAN's images come from the stage `evaluate`. The other methods use the same faces, codes,
exemplars and g'.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from dualstylegan.codes.subsets import evenly_spaced_subset
from dualstylegan.codes.tables import read_codes
from dualstylegan.evaluation.baselines import layer_swap, style_mixing
from dualstylegan.evaluation.descriptions import Renderings
from dualstylegan.evaluation.eval_set import EvalSet, RestyleMethod
from dualstylegan.evaluation.leaderboard import MethodResult, measure_methods, rank
from dualstylegan.evaluation.rendering import Portrait, build_eval_set, render_natural
from dualstylegan.io.files import atomic_directory, read_json, write_json, write_text
from dualstylegan.io.images import write_png
from dualstylegan.networks.loading import load_trained_generator
from dualstylegan.portrait.model import PortraitModel
from tasks import evaluate
from tasks.pages.leaderboard_page import render
from tasks.shared.aligned import read_aligned, read_frames
from tasks.shared.networks import place
from tasks.shared.pastiches import read_pastiches
from tasks.shared.paths import Paths
from tasks.shared.progress import progress_by_name
from tasks.shared.renderings import EvaluationFiles, results_grid, to_image
from tasks.shared.results import plan_of
from tasks.shared.runner import load_settings, prepare, run_stage
from tasks.shared.settings import Ablate, Leaderboard, Settings

FACTS = "leaderboard.json"
PAGE = "leaderboard.html"
OURS = "DualStyleGAN"


def methods(
    model: PortraitModel, ours: Renderings, settings: Settings
) -> dict[str, RestyleMethod | Renderings]:
    """Return DualStyleGAN's images and the methods it is compared with, by name."""
    profile, chosen, size = settings.profile, settings.leaderboard, settings.evaluate.size
    adapted = place(load_trained_generator(Paths.adapted), profile, model.device)
    place(model.network, profile, model.device)
    swapped = layer_swap(model.generator, adapted)
    pixels = f"pixel optimisation ({chosen.pixel_size} px, {chosen.pixel_steps} steps)"
    return {
        OURS: ours,
        "colour transfer (stage 1)": style_mixing(model.generator, size),
        "g' with style mixing": style_mixing(adapted, size),
        "layer swap of g and g'": style_mixing(swapped, size),
        pixels: evaluate.pixel_painter(settings, model.device),
    }


def subset(chosen: Leaderboard | Ablate) -> tuple[list[Portrait], list[Portrait]]:
    """Load evenly spaced subsets of the evaluation's faces and exemplars."""
    facts = read_json(Paths.evaluation / "evaluation.json")
    faces = read_aligned(Paths.faces, facts["contents"])
    exemplars = read_aligned(Paths.exemplars, facts["styles"])
    return (
        evenly_spaced_subset(faces, chosen.faces),
        evenly_spaced_subset(exemplars, chosen.styles),
    )


def open_eval_set(
    chosen: Leaderboard | Ablate, settings: Settings
) -> tuple[PortraitModel, EvalSet]:
    """Load the packaged model, and the compared faces and exemplars with their codes."""
    device = prepare(settings.runtime)
    model = PortraitModel.from_pretrained(Paths.portrait, device=device, weights_dir=Paths.weights)
    table = read_codes(Paths.content_codes)
    codes = dict(zip(table.names, table.codes_NLD, strict=True))
    faces, exemplars = subset(chosen)
    frames = (
        read_frames(Paths.faces, [name for name, _ in faces]),
        read_frames(Paths.exemplars, [name for name, _ in exemplars]),
    )
    plan = plan_of(settings)
    return model, build_eval_set(model, faces, codes, exemplars, plan, *frames)


def write_board(
    folder: Path, measured: Sequence[MethodResult], eval_set: EvalSet, lede: str
) -> None:
    """Write leaderboard.json, leaderboard.html, and one result per method and style.

    `pictures/METHOD/STYLE.png` shows the face that `pairs` in leaderboard.json names.

    Args:
        folder: replaced as a whole.
        measured: measured methods; the first one is the subject of the comparison.
        eval_set: faces and exemplars that all methods share.
        lede: description of the comparison.
    """
    rows = rank(measured)
    faces, styles = eval_set.contents, eval_set.styles
    diagonal = [(column % len(faces), column) for column in range(len(styles))]
    with atomic_directory(folder) as out:
        for number, method in enumerate(measured):
            for row, column in diagonal:
                shown = to_image(method.results[row, column])
                write_png(out / "pictures" / str(number) / f"{styles[column]}.png", shown)
        grids = {
            method.name: results_grid(eval_set.face_CCHW, eval_set.exemplar_SCHW, method.results)
            for method in measured
        }
        write_text(out / PAGE, render(rows, grids, lede))
        facts = {
            "lede": lede,
            "pairs": [(faces[row], styles[column]) for row, column in diagonal],
            "rows": [row.as_dict() for row in rows],
        }
        write_json(out / FACTS, facts)


def run(settings: Settings) -> list[MethodResult]:
    """Measure all methods and write the page."""
    plan = plan_of(settings)
    model, eval_set = open_eval_set(settings.leaderboard, settings)
    ours = EvaluationFiles(Paths.evaluation).read_renderings(
        eval_set.contents, eval_set.styles, plan.size
    )
    compared = methods(model, ours, settings)
    natural = render_natural(model, eval_set, plan)
    extractor = evaluate.open_extractor(plan, model.device)
    measured = measure_methods(
        compared, eval_set, natural, extractor, plan, progress_by_name(), read_pastiches()
    )
    lede = (
        f"{len(eval_set.contents)} held-out faces in the styles of {len(eval_set.styles)} "
        "exemplars. All methods use the same codes, exemplars and adapted generator."
    )
    write_board(Paths.leaderboard, measured, eval_set, lede)
    return measured


def main() -> None:
    """`python -m tasks.leaderboard [SET]`."""
    run_stage("leaderboard", partial(run, load_settings()))
    print(f"leaderboard: {Paths.leaderboard / PAGE}")


if __name__ == "__main__":
    main()
