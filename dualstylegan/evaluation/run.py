"""Evaluation of a portrait model: render every face in every style, measure, keep the pictures.

Legend of shape suffixes: C content face, S exemplar, H, W, N picture, L row, D style width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dualstylegan.errors import DataError
from dualstylegan.evaluation.bootstrap import Array, Interval
from dualstylegan.evaluation.embedding import join
from dualstylegan.evaluation.gallery import Gallery, Progress, dualstylegan
from dualstylegan.evaluation.measures import PairTable, Subjects, measure, pair_table
from dualstylegan.evaluation.probe import Identity, Perceptual, Probe, ring_pairs, to_bytes
from dualstylegan.images import image_to_tensor
from dualstylegan.transfer import PortraitModel

Portrait = tuple[str, Image.Image]

SWEEP_STEPS = (0.0, 0.25, 0.5, 0.75, 1.0)


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
    bfloat16: bool = True


@dataclass(frozen=True)
class Evaluation:
    """Figures, the table they come from, and the pictures that the report shows.

    Attributes:
        results: uint8 (C, S, 3, H, W).
        sweep: uint8 (structure, color, 3, H, W) over SWEEP_STEPS of the first pair.
    """

    contents: tuple[str, ...]
    styles: tuple[str, ...]
    figures: dict[str, Interval]
    table: PairTable
    results: Tensor
    reconstructions: Tensor
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
    perceptual: Perceptual,
    identity: Identity,
    plan: Plan,
    progress: Progress = lambda what, done, total: None,
) -> Evaluation:
    """Measure a model on held-out faces.

    Args:
        contents: held-out aligned faces, named.
        codes: their Z+ codes (L, D) by name.
        exemplars: aligned exemplars; each name must be a style of the model.
        perceptual, identity: frozen networks, see `probe`.

    Raises:
        DataError: too few pictures, or an exemplar that the model does not know.
    """
    contents = spread_evenly(contents, plan.contents)
    exemplars = spread_evenly(exemplars, plan.styles)
    names = [name for name, _ in exemplars]
    unknown = sorted(set(names) - set(model.styles.names))
    if unknown:
        raise DataError(
            "exemplars are not styles of the model",
            value=", ".join(unknown[:5]),
            limit=f"{len(model.styles.names)} styles",
            fix="package the model anew",
        )
    probe = Probe(perceptual, identity, plan.measure_size, plan.batch, model.device)
    gallery = hang(model, contents, codes, exemplars, plan)
    method = dualstylegan(model, plan.size, plan.structure, plan.color)
    # a reconstruction takes all of its exemplar, whatever the results are measured at
    whole = dualstylegan(model, plan.size, 1.0, 1.0)
    with rendering_dtype(model, torch.bfloat16 if plan.bfloat16 else torch.float32):
        natural = render_natural(model, gallery, plan)
        results = gallery.restyle(method, progress)
        own = gallery.reconstruct(whole, natural)
        sweep = render_sweep(model, gallery.code_CLD[0], names[0], plan.size)
    subjects = look_at(probe, gallery, Rendered(results, own, natural), plan, progress)
    table = pair_table(subjects)
    return Evaluation(
        contents=subjects.contents,
        styles=subjects.styles,
        figures=measure(subjects, table, seed=plan.seed, resamples=plan.resamples),
        table=table,
        results=results,
        reconstructions=own,
        sweep=sweep,
        reconstruction_S=subjects.reconstruction_S,
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


@dataclass(frozen=True)
class Rendered:
    """What a method made, uint8: results (C, S, 3, H, W), reconstructions and g(z_i+)."""

    results: Tensor
    reconstructions: Tensor
    natural: Tensor


def look_at(
    probe: Probe, gallery: Gallery, rendered: Rendered, plan: Plan, progress: Progress
) -> Subjects:
    """Describe all pictures: what the measures are computed from."""
    pairs = ring_pairs(len(gallery.styles), plan.diversity_pairs, plan.seed)
    looks = []
    for done, row in enumerate(rendered.results):
        looks.append((*probe.look(row, pairs), probe.identities(row)))
        progress("faces measured", done + 1, len(rendered.results))
    exemplar_look, exemplar_spread = probe.look(gallery.exemplar_SCHW, pairs)
    return Subjects(
        contents=gallery.contents,
        styles=gallery.styles,
        faces=probe.look(gallery.face_CCHW)[0],
        exemplars=exemplar_look,
        results=join([look[0] for look in looks]),
        face_identities=probe.identities(gallery.face_CCHW),
        result_identities=np.concatenate([look[2] for look in looks]),
        reconstruction_S=probe.distances(rendered.reconstructions, gallery.exemplar_SCHW),
        intrinsic_S=probe.distances(rendered.natural, gallery.exemplar_SCHW),
        spread_CP=np.stack([look[1] for look in looks]),
        exemplar_spread_P=exemplar_spread,
    )
