"""Stage `measure`: held-out figures and pictures of the base models."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from dualstylegan.faces.crop import align_face
from dualstylegan.files import write_json
from dualstylegan.images import (
    image_to_tensor,
    list_images,
    make_grid,
    read_image,
    tensor_to_image,
    write_png,
)
from dualstylegan.inversion import encode
from dualstylegan.networks.generator import Generator
from dualstylegan.pretraining.measures import (
    Judge,
    encoder_figures,
    head_decibels,
    row_norms,
    structure_figures,
)
from dualstylegan.pretraining.settings import BaseSettings
from dualstylegan.settings import Profile
from tasks.base.common import BUILD, networks
from tasks.batches import place
from tasks.common import Paths

OUT = BUILD / "measures.json"
PHOTO = Paths.weights / "astronaut.png"
PAINTED = Paths.portraits / "style"
# Far from the seeds of every training, and of the demo's portraits.
HELD_OUT_SEED = 77_000_000
TRUNCATION = 0.7
COLUMNS = 8


def held_out(generator: Generator, count: int, seed: int) -> Tensor:
    """W+ codes (N, L, D) of faces that no training has seen."""
    draw = torch.Generator().manual_seed(seed)
    z = torch.randn(count, generator.style_dim, generator=draw).to(generator.mean_w.device)
    return generator.truncate(generator.to_w_plus(z, "z"), TRUNCATION)


def aligned(path: Path, size: int) -> Tensor:
    """A photo's or a painting's face, (1, 3, size, size)."""
    face = align_face(read_image(path), size, weights_dir=Paths.weights)
    return image_to_tensor(face.image, size)[None]


@torch.no_grad()
def measure(profile: Profile, settings: BaseSettings) -> None:
    """Write measures.json, encoder.png and structure.png into data/cache/base."""
    chosen, size = settings.chosen.measure, profile.working_size
    found = networks()
    generator = place(found.generator(), profile)
    encoder = place(found.encoder(), profile)
    judge = Judge(place(found.lpips(), profile), place(found.identity(), profile))
    device = generator.mean_w.device
    codes = held_out(generator, chosen.faces, HELD_OUT_SEED)
    groups = {
        "generated": generator.synthesise(codes, size=size).clamp(-1, 1),
        "photo": aligned(PHOTO, size).to(device),
    }
    painted = list_images(PAINTED)[:: max(1, 24 // max(1, chosen.painted))][: chosen.painted]
    if painted:
        groups["painted"] = torch.cat([aligned(path, size) for path in painted]).to(device)
    with torch.enable_grad():
        encoders = {
            name: encoder_figures(
                generator, encoder, judge, images, chosen.optimise_steps, chosen.extra_steps
            )
            for name, images in groups.items()
        }
    network = place(found.dualstylegan(), profile)
    torch.manual_seed(settings.seed)
    start = place(found.initial_dualstylegan(), profile)
    pairs = codes, held_out(generator, chosen.faces, HELD_OUT_SEED + 1)
    everyone = torch.cat(list(groups.values()))
    write_json(
        OUT,
        {
            "heads": head_decibels(generator, codes),
            "encoder": encoders,
            "encoder rows": row_norms(encode(encoder, everyone)),
            "structure": structure_figures(network, judge, *pairs, size),
            "structure before": structure_figures(start, judge, *pairs, size),
        },
    )
    again = generator(encode(encoder, everyone), "z_plus", size=size)
    show(BUILD / "encoder.png", everyone, again)
    first, second = (part[:COLUMNS] for part in pairs)
    mixed = generator.synthesise(generator.mix(first, second, 5), size=size)
    rows = [generator.synthesise(w, size=size) for w in (first, second)]
    sweep = [
        network(first, second, network.weights(weight, 1.0), space="w_plus", size=size)
        for weight in (0.0, 0.5, 1.0)
    ]
    show(BUILD / "structure.png", *rows, mixed, *sweep)


def show(path: Path, *rows: Tensor) -> None:
    """Rows of images, cut into parts of COLUMNS."""
    tiles = []
    for start in range(0, len(rows[0]), COLUMNS):
        parts = [row[start : start + COLUMNS] for row in rows]
        if len(parts[0]) < COLUMNS:
            parts = [torch.cat((p, p.new_ones(COLUMNS - len(p), *p.shape[1:]))) for p in parts]
        tiles += [tensor_to_image(x) for part in parts for x in part]
    write_png(path, make_grid(tiles, COLUMNS))
