"""Stage `leaderboard`: the model beside simpler methods, measured alike.

DualStyleGAN's pictures are those of the stage `evaluate`; the others get the same faces, codes,
exemplars and g'.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from dualstylegan.codes.tables import read_codes
from dualstylegan.evaluation.baselines import layer_swap, mixed, optimised
from dualstylegan.evaluation.gallery import Gallery, Restyle
from dualstylegan.evaluation.leaderboard import Entry, compare, rank
from dualstylegan.evaluation.run import Portrait, hang, render_natural, spread_evenly
from dualstylegan.evaluation.subjects import Rendered
from dualstylegan.io.files import atomic_directory, read_json, write_json, write_text
from dualstylegan.io.images import make_grid, write_png
from dualstylegan.networks.loading import load_perceptual, load_trained_generator
from dualstylegan.portrait.model import PortraitModel
from tasks import evaluate
from tasks.pages.leaderboard_page import render
from tasks.shared.paths import Paths
from tasks.shared.runner import load_settings, parts_shown, run_stage
from tasks.shared.settings import Ablate, Leaderboard, Settings
from tasks.shared.tensors import place, prepare
from tasks.shared.training import OUTPUTS

OUT = Paths.reports / "leaderboard"
FACTS = "leaderboard.json"
PAGE = "leaderboard.html"
OURS = "DualStyleGAN"


def methods(
    model: PortraitModel, ours: Rendered, settings: Settings
) -> dict[str, Restyle | Rendered]:
    """DualStyleGAN and everything it is compared with."""
    profile, chosen, size = settings.profile, settings.leaderboard, settings.evaluate.size
    adapted = place(load_trained_generator(OUTPUTS["adapt"]), profile, model.device)
    perceptual = place(load_perceptual(Paths.weights), profile, model.device)
    place(model.network, profile, model.device)
    swapped = layer_swap(model.generator, adapted)
    pixels = f"optimised pixels ({chosen.pixel_size} px, {chosen.pixel_steps} steps)"
    return {
        OURS: ours,
        "colour transfer (stage 1)": mixed(model.generator, size),
        "g' with style mixing": mixed(adapted, size),
        "layer swap of g and g'": mixed(swapped, size),
        pixels: optimised(perceptual, chosen.pixel_steps, chosen.pixel_size),
    }


def subset(chosen: Leaderboard | Ablate) -> tuple[list[Portrait], list[Portrait]]:
    """Faces and exemplars of the evaluation that take part, spread evenly."""
    facts = read_json(evaluate.OUT / "evaluation.json")
    faces = evaluate.portraits(evaluate.CONTENTS, facts["contents"])
    exemplars = evaluate.portraits(evaluate.EXEMPLARS, facts["styles"])
    return spread_evenly(faces, chosen.faces), spread_evenly(exemplars, chosen.styles)


def open_gallery(chosen: Leaderboard | Ablate, settings: Settings) -> tuple[PortraitModel, Gallery]:
    """The packaged model, and the faces and exemplars with the codes that it has for them."""
    device = prepare(settings.runtime)
    model = PortraitModel.from_pretrained(
        evaluate.MODEL, device=device, weights_dir=evaluate.WEIGHTS
    )
    table = read_codes(evaluate.CODES)
    codes = dict(zip(table.names, table.codes_NLD, strict=True))
    faces, exemplars = subset(chosen)
    return model, hang(model, faces, codes, exemplars, evaluate.plan_of(settings))


def grid(gallery: Gallery, results: Tensor) -> Image.Image:
    """Exemplars across the top, faces down the left, results between."""
    blank = torch.full_like(gallery.face_CCHW[0], 255)
    rows = [[blank, *gallery.exemplar_SCHW]]
    rows += [[face, *pictures] for face, pictures in zip(gallery.face_CCHW, results, strict=True)]
    return make_grid([evaluate.to_picture(x) for row in rows for x in row], len(rows[0]))


def write_board(folder: Path, entries: Sequence[Entry], gallery: Gallery, lede: str) -> None:
    """leaderboard.json, leaderboard.html, and the diagonal of each grid for the report.

    `pictures/METHOD/STYLE.png` has the face that `pairs` of leaderboard.json names.

    Args:
        folder: written whole.
        entries: the methods, measured; the first is the one to be judged.
        gallery: the faces and exemplars that they share.
        lede: what was compared, in a sentence.
    """
    rows = rank(entries)
    faces, styles = gallery.contents, gallery.styles
    diagonal = [(column % len(faces), column) for column in range(len(styles))]
    with atomic_directory(folder) as out:
        for number, entry in enumerate(entries):
            for row, column in diagonal:
                shown = evaluate.to_picture(entry.results[row, column])
                write_png(out / "pictures" / str(number) / f"{styles[column]}.png", shown)
        grids = {entry.name: grid(gallery, entry.results) for entry in entries}
        write_text(out / PAGE, render(rows, grids, lede))
        facts = {
            "lede": lede,
            "pairs": [(faces[row], styles[column]) for row, column in diagonal],
            "rows": [row.as_dict() for row in rows],
        }
        write_json(out / FACTS, facts)


def run(settings: Settings) -> list[Entry]:
    """Measure all methods and write the page."""
    plan = evaluate.plan_of(settings)
    model, gallery = open_gallery(settings.leaderboard, settings)
    ours = evaluate.read_rendered(gallery.contents, gallery.styles, plan.size)
    compared = methods(model, ours, settings)
    natural = render_natural(model, gallery, plan)
    probe = evaluate.open_probe(plan, model.device)
    entries = compare(compared, gallery, natural, probe, plan, parts_shown())
    lede = (
        f"{len(gallery.contents)} held-out faces in the styles of {len(gallery.styles)} exemplars; "
        "the same codes, the same exemplars and the same adapted generator for all."
    )
    write_board(OUT, entries, gallery, lede)
    return entries


def main() -> None:
    """`python -m tasks.leaderboard`."""
    run_stage("leaderboard", partial(run, load_settings()))
    print(f"leaderboard: {Path(OUT) / PAGE}")


if __name__ == "__main__":
    main()
