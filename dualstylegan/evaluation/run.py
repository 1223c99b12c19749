"""Evaluation of a portrait model: render every face in every style, measure, keep the pictures.

Legend of shape suffixes: C content face, S exemplar, H, W, N picture, L row, D style width.

Held-out exemplars, which no training has seen and the model got at run time, are rendered and
measured as the others are, and stand beside them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from PIL import Image
from torch import Tensor

from dualstylegan.errors import DataError
from dualstylegan.evaluation.bootstrap import Array, Interval
from dualstylegan.evaluation.gallery import Gallery, Progress, dualstylegan
from dualstylegan.evaluation.held_out import measure_enrolled
from dualstylegan.evaluation.large import measure_large
from dualstylegan.evaluation.measures import PairTable, measure, measure_realism, pair_table
from dualstylegan.evaluation.probe import Probe, ring_pairs, to_bytes
from dualstylegan.evaluation.subjects import Rendered, look_at, look_behind
from dualstylegan.io.images import image_to_tensor
from dualstylegan.portrait.model import PortraitModel

Portrait = tuple[str, Image.Image]

SWEEP_STEPS = (0.0, 0.25, 0.5, 0.75, 1.0)
FRESH_TRUNCATION = 0.7  # psi of faces of random codes, as destylization truncates


@dataclass(frozen=True)
class Plan:
    """What is measured, and at what cost.

    Attributes:
        size: pixels of the results.
        measure_size: pixels that VGG16 sees; 128 costs a quarter of 256.
        contents, styles: at most so many faces and exemplars, spread evenly over those given;
            None takes all.
        diversity_pairs: pairs of exemplars whose results are compared, for each face.
        structure, color: weights of the results; the model's own when None.
        batch: pictures rendered or looked at together.
        seed: of the bootstrap and of the choice of pairs.
        resamples: of the bootstrap.
        natural_faces: faces of random codes that g(z_i+) are held against.
        large_pairs: pairs rendered as large as the model can; 0: none.
        bfloat16: render in bfloat16, twice as fast on CPUs that have it; results differ by half a
            grey level. The measuring networks stay in float32.
    """

    size: int = 256
    measure_size: int = 128
    contents: int | None = None
    styles: int | None = None
    diversity_pairs: int = 48
    structure: float | None = None
    color: float | None = None
    batch: int = 4
    seed: int = 0
    resamples: int = 1000
    natural_faces: int = 32
    large_pairs: int = 4
    bfloat16: bool = True


@dataclass(frozen=True)
class Evaluation:
    """Figures, the table they come from, and the pictures that the report shows.

    Attributes:
        contents, styles, held_out: names of faces, exemplars and held-out exemplars.
        rendered: of the exemplars; enrolled: of the held-out ones, None without them.
        sweep: uint8 (structure, color, 3, H, W) over SWEEP_STEPS of the first pair.
        reconstruction_S: LPIPS of each reconstruction.
    """

    contents: tuple[str, ...]
    styles: tuple[str, ...]
    held_out: tuple[str, ...]
    figures: dict[str, Interval]
    table: PairTable
    rendered: Rendered
    enrolled: Rendered | None
    sweep: Tensor
    reconstruction_S: Array = field(repr=False)


def spread_evenly(items: Sequence[Portrait], limit: int | None) -> list[Portrait]:
    """At most `limit` items, evenly spread over the sequence, in order."""
    if limit is None or limit >= len(items):
        return list(items)
    return [items[i * len(items) // limit] for i in range(limit)]


def stack(portraits: Sequence[Portrait], size: int) -> Tensor:
    """Aligned portraits as uint8 (N, 3, size, size)."""
    return to_bytes(torch.stack([image_to_tensor(image, size) for _, image in portraits]))


@contextmanager
def rendering_dtype(model: PortraitModel, dtype: torch.dtype) -> Iterator[None]:
    """Let the generator's feature maps have `dtype` for a while."""
    usual = model.generator.compute_dtype
    model.generator.compute_dtype = dtype
    try:
        yield
    finally:
        model.generator.compute_dtype = usual


def render_sweep(model: PortraitModel, code_LD: Tensor, style: str, size: int) -> Tensor:
    """One face in one style under each pair of weights, uint8 (steps, steps, 3, H, W)."""
    rows = []
    extrinsic = model.styles.extrinsic_of([style])
    for structure in SWEEP_STEPS:
        pictures = [
            model.render(code_LD[None], extrinsic, structure=structure, color=color, size=size)
            for color in SWEEP_STEPS
        ]
        rows.append(to_bytes(torch.cat(pictures)))
    return torch.stack(rows)


@torch.no_grad()
def evaluate(
    model: PortraitModel,
    contents: Sequence[Portrait],
    codes: Mapping[str, Tensor],
    exemplars: Sequence[Portrait],
    held_out: Sequence[Portrait],
    probe: Probe,
    plan: Plan,
    progress: Progress = lambda what, done, total: None,
) -> Evaluation:
    """Measure a model on held-out faces.

    Args:
        model: with the held-out exemplars enrolled.
        contents: held-out aligned faces, named.
        codes: their Z+ codes (L, D) by name.
        exemplars: aligned exemplars of the training; each name must be a style of the model.
        held_out: aligned exemplars that the training has not seen; may be none.
        probe: the measuring networks.

    Raises:
        DataError: too few pictures, or an exemplar that the model does not know.
    """
    contents = spread_evenly(contents, plan.contents)
    exemplars = spread_evenly(exemplars, plan.styles)
    _check_known(model, [*exemplars, *held_out])
    gallery = hang(model, contents, codes, exemplars, plan)
    drawn = {"seed": plan.seed, "resamples": plan.resamples}
    with rendering_dtype(model, torch.bfloat16 if plan.bfloat16 else torch.float32):
        rendered, natural = render(model, gallery, plan, progress)
        sweep = render_sweep(model, gallery.code_CLD[0], gallery.styles[0], plan.size)
        fresh = render_fresh(model, plan)
        large = measure_large(model, gallery, probe, plan.large_pairs, plan.size, **drawn)
        extra = hang(model, contents, codes, held_out, plan) if held_out else None
        enrolled = render(model, extra, plan, progress, "held out: ") if extra else None
    pairs = ring_pairs(len(gallery.styles), plan.diversity_pairs, plan.seed)
    backdrop = look_behind(probe, gallery, natural, pairs)
    subjects = look_at(probe, gallery, backdrop, rendered, progress)
    table = pair_table(subjects)
    figures = measure(subjects, table, **drawn)
    figures |= measure_realism(backdrop, probe.look(fresh)[0], **drawn)
    figures |= large
    if extra and enrolled:
        behind = look_behind(probe, extra, enrolled[1], [])
        others = look_at(probe, extra, behind, enrolled[0], progress)
        figures |= measure_enrolled(subjects, others, **drawn)
    return Evaluation(
        contents=gallery.contents,
        styles=gallery.styles,
        held_out=extra.styles if extra else (),
        figures=figures,
        table=table,
        rendered=rendered,
        enrolled=enrolled[0] if enrolled else None,
        sweep=sweep,
        reconstruction_S=subjects.reconstruction_S,
    )


def _check_known(model: PortraitModel, exemplars: Sequence[Portrait]) -> None:
    unknown = sorted({name for name, _ in exemplars} - set(model.styles.names))
    if unknown:
        raise DataError(
            "exemplars are not styles of the model",
            value=", ".join(unknown[:5]),
            limit=f"{len(model.styles.names)} styles",
            fix="package the model anew",
        )


def hang(
    model: PortraitModel,
    contents: Sequence[Portrait],
    codes: Mapping[str, Tensor],
    exemplars: Sequence[Portrait],
    plan: Plan,
) -> Gallery:
    """The faces and exemplars with their codes."""
    names = [name for name, _ in exemplars]
    return Gallery(
        contents=tuple(name for name, _ in contents),
        styles=tuple(names),
        code_CLD=torch.stack([codes[name] for name, _ in contents]).to(model.device),
        intrinsic_SLD=model.styles.intrinsic_of(names),
        extrinsic_SLD=model.styles.extrinsic_of(names),
        face_CCHW=stack(contents, plan.size),
        exemplar_SCHW=stack(exemplars, plan.size),
        truncation=model.config.defaults.truncation,
        batch=plan.batch,
    )


def render_natural(model: PortraitModel, gallery: Gallery, plan: Plan) -> Tensor:
    """g(z_i+) of every exemplar, uint8 (S, 3, H, W)."""
    parts = [
        to_bytes(model.render(codes, None, truncation=1.0, size=plan.size))
        for codes in torch.split(gallery.intrinsic_SLD, plan.batch)
    ]
    return torch.cat(parts)


def render_fresh(model: PortraitModel, plan: Plan) -> Tensor:
    """Faces of random codes, uint8 (N, 3, H, W): what the generator makes by itself."""
    draw = torch.Generator().manual_seed(plan.seed)
    generator = model.generator
    z_ND = torch.randn(plan.natural_faces, generator.style_dim, generator=draw).to(model.device)
    z_NLD = z_ND[:, None].expand(-1, generator.rows, -1)
    parts = [
        to_bytes(model.render(codes, None, truncation=FRESH_TRUNCATION, size=plan.size))
        for codes in torch.split(z_NLD, plan.batch)
    ]
    return torch.cat(parts)


def render(
    model: PortraitModel, gallery: Gallery, plan: Plan, progress: Progress, prefix: str = ""
) -> tuple[Rendered, Tensor]:
    """Results and reconstructions of DualStyleGAN, and g(z_i+) of every exemplar."""
    natural = render_natural(model, gallery, plan)
    method = dualstylegan(model, plan.size, plan.structure, plan.color)
    # a reconstruction takes all of its exemplar, whatever the results are measured at
    whole = dualstylegan(model, plan.size, 1.0, 1.0)
    results = gallery.restyle(
        method, lambda what, done, total: progress(prefix + what, done, total)
    )
    return Rendered(results, gallery.reconstruct(whole, natural)), natural
