"""Stage `measure`: measures, images and curves of the base models on held-out faces.

Legend of shape suffixes: N image, L row, D style width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dualstylegan.codes.inversion import encode
from dualstylegan.io.files import write_json, write_text
from dualstylegan.io.images import make_grid, tensor_to_image, write_png
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.encoder import PortraitEncoder
from dualstylegan.networks.mobilestylegan import MobileStyleGAN
from tasks.base import held_out
from tasks.base.common import MEASURED, held_out_curve, networks, placed
from tasks.base.measures import (
    Judge,
    Reconstruction,
    encoder_cost,
    generator_throughput,
    head_decibels,
    open_judge,
    reconstructions,
    row_norms,
    structure_figures,
)
from tasks.base.settings import BaseSettings, Measure
from tasks.pages.base_page import Picture, render
from tasks.shared.paths import Paths
from tasks.shared.progress import progress_by_name

FIGURES = Paths.base_build / "measures.json"
PAGE = Paths.base_build / "report.html"
CURVES = ("heads", "encoder", "features", "structure", "pastiche")
COLUMNS = 8
SWEEP = (0.0, 0.25, 0.5, 0.75, 1.0)
LIMITS_FROM, LIMITS_OFFSET = 48, 2
THROUGHPUT_BATCH = 4


@torch.no_grad()
def measure(settings: BaseSettings) -> None:
    """Write measures.json, images and report.html into data/cache/base."""
    chosen, size = settings.chosen.measure, settings.profile.working_size
    found = networks()
    generator = placed(found.generator(), settings)
    encoder = placed(found.encoder(), settings)
    network = placed(found.dualstylegan(), settings)
    judge = open_judge(settings)
    torch.manual_seed(settings.profile.seed)
    start = placed(found.initial_dualstylegan(), settings)
    first = held_out.codes(generator, chosen.faces)
    pairs = first, held_out.codes(generator, chosen.faces, offset=1)
    encoded = compare_inversions(generator, encoder, judge, first, size, chosen)
    figures = {
        "throughput": generator_throughput(generator, size, THROUGHPUT_BATCH),
        "encoder cost": encoder_cost(networks().encoder()),
        "heads": head_decibels(generator, first),
        "encoder": {
            group: {name: found.figures for name, found in methods.items()}
            for group, (_, methods) in encoded.items()
        },
        "encoder rows": row_norms(encode(encoder, torch.cat([x for x, _ in encoded.values()]))),
        "structure": structure_figures(network, judge, *pairs, size),
        "structure before": structure_figures(start, judge, *pairs, size),
    }
    write_json(FIGURES, figures)
    grids = {
        "Inversion": rows_of(encoded),
        "Where the encoder fails": worst(generator, encoder, judge, size),
        "Structure transfer": sweep(network, *pairs, size),
    }
    pictures = [show(name, *one) for name, one in zip(MEASURED, grids.items(), strict=True)]
    curves = {name: held_out_curve(name) for name in CURVES}
    write_text(PAGE, render(figures, curves, pictures))


def compare_inversions(
    generator: MobileStyleGAN,
    encoder: PortraitEncoder,
    judge: Judge,
    w_NLD: Tensor,
    size: int,
    chosen: Measure,
) -> dict[str, tuple[Tensor, dict[str, Reconstruction]]]:
    """Return each group of held-out faces with its reconstruction by every inversion method."""
    device = generator.mean_w.device
    groups = {
        "generated": held_out.faces(generator, w_NLD, size),
        "photographed": held_out.photographed(generator, len(w_NLD), size)[0],
        "photo": held_out.photo(size).to(device),
    }
    if chosen.painted:
        groups["painted"] = held_out.painted(size, chosen.painted).to(device)
    steps = chosen.optimise_steps, chosen.passes, chosen.extra_steps
    found = {}
    for name, faces in groups.items():
        told = progress_by_name(f"{name}: ")
        with torch.enable_grad():
            made = reconstructions(generator, encoder, judge, faces, *steps, progress=told)
        found[name] = faces, made
    return found


def rows_of(
    encoded: dict[str, tuple[Tensor, dict[str, Reconstruction]]],
) -> dict[str, Tensor]:
    """Return rows of a grid: all faces, then their reconstructions by each method."""
    parts = list(encoded.values())
    rows = {"face": torch.cat([faces for faces, _ in parts])}
    for name in parts[0][1]:
        rows[name] = torch.cat([methods[name].image_NCHW for _, methods in parts])
    return rows


def worst(
    generator: MobileStyleGAN, encoder: PortraitEncoder, judge: Judge, size: int
) -> dict[str, Tensor]:
    """Return the untruncated faces that the encoder reconstructs worst by LPIPS."""
    codes = held_out.codes(generator, LIMITS_FROM, LIMITS_OFFSET, psi=1.0)
    faces = held_out.faces(generator, codes, size)
    again = held_out.faces(generator, generator.map(encode(encoder, faces)), size)
    chosen = judge.each(again, faces)["lpips"].argsort(descending=True)[:COLUMNS]
    return {f"the worst {COLUMNS} of {LIMITS_FROM}": faces[chosen], "encoder": again[chosen]}


def sweep(
    network: DualStyleGAN, first_NLD: Tensor, second_NLD: Tensor, size: int
) -> dict[str, Tensor]:
    """Render g(z1), g(z2), g(z_l+), and G at increasing structure weights."""
    first, second = first_NLD[:COLUMNS], second_NLD[:COLUMNS]
    g = network.generator
    rows = {
        "z1": g.synthesise(first, size=size),
        "z2": g.synthesise(second, size=size),
        "g(z_5+)": g.synthesise(g.mix(first, second, 5), size=size),
    }
    for weight in SWEEP:
        weights = network.weights(weight, 1.0)
        rows[f"structure {weight:g}"] = network(first, second, weights, space="w_plus", size=size)
    return rows


def show(name: str, title: str, rows: dict[str, Tensor]) -> Picture:
    """Write rows of images as one file and return them for the page."""
    columns = len(next(iter(rows.values())))
    tiles = [tensor_to_image(x) for row in rows.values() for x in row]
    image = make_grid(tiles, columns)
    write_png(Paths.base_build / f"{name}.png", image)
    return Picture(title, list(rows), image)
