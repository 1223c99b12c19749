"""`python -m tasks.leaderboard`: the model beside simpler methods, measured alike.

It reads what the pipeline made, and writes data/reports/leaderboard.html and leaderboard.json.
"""

from __future__ import annotations

import argparse

import torch
from PIL import Image
from torch import Tensor

from dualstylegan.evaluation.baselines import layer_swap, mixed, optimised
from dualstylegan.evaluation.gallery import Gallery, Restyle, dualstylegan
from dualstylegan.evaluation.leaderboard import Entry, compare
from dualstylegan.evaluation.probe import Probe
from dualstylegan.evaluation.run import Plan, hang, render_natural, spread_evenly
from dualstylegan.files import write_json, write_text
from dualstylegan.images import make_grid
from dualstylegan.latents import read_codes
from dualstylegan.models import load_identity, load_perceptual, load_trained_generator
from dualstylegan.reporting.leaderboard_page import render
from dualstylegan.settings import Profile
from dualstylegan.transfer import PortraitModel
from tasks.batches import place, prepare
from tasks.common import Paths, load_settings, parts_shown, run_stage
from tasks.evaluate import CODES, CONTENTS, EXEMPLARS, MODEL, portraits, to_picture
from tasks.training import OUTPUTS

PAGE = Paths.reports / "leaderboard.html"
FACTS = Paths.reports / "leaderboard.json"
OURS = "DualStyleGAN"


def methods(model: PortraitModel, profile: Profile, plan: Plan, steps: int) -> dict[str, Restyle]:
    """DualStyleGAN and everything it is compared with."""
    adapted = place(load_trained_generator(OUTPUTS["adapt"]), profile)
    lpips = place(load_perceptual(Paths.weights), profile)
    place(model.network, profile)
    swapped = layer_swap(model.generator, adapted)
    return {
        OURS: dualstylegan(model, plan.size),
        "colour transfer (stage 1)": mixed(model.generator, plan.size),
        "g' with style mixing": mixed(adapted, plan.size),
        "layer swap of g and g'": mixed(swapped, plan.size),
        f"optimisation, {steps} steps": optimised(lpips, steps),
    }


def grid(gallery: Gallery, results: Tensor) -> Image.Image:
    """Exemplars across the top, faces down the left, results between."""
    blank = torch.full_like(gallery.face_CCHW[0], 255)
    rows = [[blank, *gallery.exemplar_SCHW]]
    rows += [[face, *pictures] for face, pictures in zip(gallery.face_CCHW, results, strict=True)]
    return make_grid([to_picture(x) for row in rows for x in row], len(rows[0]))


def run(plan: Plan, steps: int) -> list[Entry]:
    """Measure all methods and write the page."""
    profile = load_settings().profile
    device = prepare(profile)
    model = PortraitModel.from_pretrained(MODEL, device=device, weights_dir=Paths.weights)
    table = read_codes(CODES)
    codes = dict(zip(table.names, table.codes_NLD, strict=True))
    faces = spread_evenly(portraits(CONTENTS), plan.contents)
    exemplars = spread_evenly(portraits(EXEMPLARS, model.styles.names), plan.styles)
    gallery = hang(model, faces, codes, exemplars, plan)
    identity = load_identity(Paths.weights).to(model.device)
    perceptual = load_perceptual(Paths.weights).to(model.device)
    probe = Probe(perceptual, identity, plan.measure_size, plan.batch, model.device)
    compared = methods(model, profile, plan, steps)
    natural = render_natural(model, gallery, plan)
    entries = compare(compared, gallery, natural, probe, plan, parts_shown())
    write_json(
        FACTS,
        {e.name: {key: figure.as_dict() for key, figure in e.figures.items()} for e in entries},
    )
    lede = (
        f"{len(faces)} held-out faces in the styles of {len(exemplars)} exemplars; the same codes, "
        "the same exemplars and the same adapted generator for all."
    )
    write_text(PAGE, render(entries, {e.name: grid(gallery, e.results) for e in entries}, lede))
    return entries


def main() -> None:
    """`python -m tasks.leaderboard [--faces 6] [--styles 12] [--steps 40]`."""
    parser = argparse.ArgumentParser(description="Measure the model beside simpler methods.")
    parser.add_argument("--faces", type=int, default=6, help="held-out faces")
    parser.add_argument("--styles", type=int, default=12, help="exemplars, evenly taken")
    parser.add_argument("--steps", type=int, default=40, help="of the optimisation on pixels")
    chosen = parser.parse_args()
    plan = Plan(contents=chosen.faces, styles=chosen.styles)
    run_stage("leaderboard", lambda: run(plan, chosen.steps), timed=False)
    print(f"leaderboard: {PAGE}")


if __name__ == "__main__":
    main()
