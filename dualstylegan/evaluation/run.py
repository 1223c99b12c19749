"""Evaluation of a portrait model: render every face in every style, describe, measure.

Legend of shape suffixes: C content face, S exemplar, H, W, N image, L row, D style width.

Held-out exemplars, which no training has seen, are added to the model as styles beforehand. They
are rendered and measured like the others, and reported next to them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from PIL import Image
from torch import Tensor

from dualstylegan.codes.subsets import evenly_spaced_subset
from dualstylegan.errors import DataError
from dualstylegan.evaluation.attribute_measures import measure_attributes
from dualstylegan.evaluation.bootstrap import Array, Interval
from dualstylegan.evaluation.descriptions import (
    References,
    Renderings,
    ResultDescriptions,
    describe_references,
    describe_results,
)
from dualstylegan.evaluation.eval_set import (
    EvalSet,
    Progress,
    RestyleMethod,
    dualstylegan,
    render_faces,
    ring_pairs,
    spread_pairs,
)
from dualstylegan.evaluation.extractor import FeatureExtractor
from dualstylegan.evaluation.full_size import Originals, measure_full_size
from dualstylegan.evaluation.held_out import measure_added_styles
from dualstylegan.evaluation.identity_lines import (
    SWEEP_WEIGHTS,
    IdentityLines,
    measure_identity_lines,
)
from dualstylegan.evaluation.measures import PairTable, measure, measure_realism, pair_table
from dualstylegan.evaluation.pastiche import (
    Pastiches,
    PasticheSet,
    PasticheTable,
    compare_results,
    describe_pastiches,
    measure_pastiche_lines,
    measure_pastiche_style,
    measure_pastiches,
)
from dualstylegan.faces.frame import Array as Corners
from dualstylegan.io.images import quantize
from dualstylegan.networks.masks import crop_to_tensor, masks_of
from dualstylegan.networks.precision import compute_dtype, dtype_of
from dualstylegan.portrait.model import PortraitModel

Portrait = tuple[str, Image.Image]
# Frames of the pictures in crops, by name; those that are missing cover theirs.
Frames = Mapping[str, Corners | None]
WHOLE: Frames = MappingProxyType({})

NO_PASTICHES: Pastiches = {}
RANDOM_FACE_TRUNCATION = 0.7  # psi of faces from random codes, as in destylization


@dataclass(frozen=True)
class EvaluationPlan:
    """Settings of the evaluation.

    Attributes:
        size: of the results, in pixels.
        measure_size: image size for VGG16, in pixels; 128 takes a quarter of the time of 256.
        contents, styles: maximum numbers of faces and exemplars, evenly spaced over those given;
            None takes all.
        diversity_pairs: pairs of exemplars whose results are compared, per face.
        structure, color: style weights of the results; None takes the model's defaults.
        batch: images per pass of the measuring networks; the model renders one by one.
        seed: of the bootstrap and of the choice of pairs.
        resamples: of the bootstrap.
        natural_faces: number of faces from random codes that g(z_i+) is compared with.
        large_pairs: pairs rendered at the model's full size; 0 turns these measures off.
        painted_pairs: pairs for the painted faces and the curve of structure weights; 0 turns both
            off.
        bfloat16: render in bfloat16, twice as fast on CPUs that support it; results differ by half
            a grey level. The measuring networks stay in float32.
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
    painted_pairs: int = 12
    bfloat16: bool = True


@dataclass(frozen=True)
class Evaluation:
    """Measures, the table that they are computed from, and all images.

    Attributes:
        eval_set: faces and exemplars.
        held_out: names of held-out exemplars.
        figures: measures by the names that metrics.json uses.
        table: one row per face and exemplar.
        renderings: images of the exemplars' styles.
        held_out_renderings: images of the held-out exemplars' styles; None without any.
        sweep: uint8 (structure, color, 3, H, W) over SWEEP_WEIGHTS, for the first pair.
        lines: g(code) of each face with its identity, and the curve of structure weights.
        reconstruction_S: LPIPS of each reconstruction.
        pastiches: ideal results; None where there are none.
        pastiche_table: of the results that have one, over the faces and styles of `pastiches`.
    """

    eval_set: EvalSet
    held_out: tuple[str, ...]
    figures: dict[str, Interval]
    table: PairTable
    renderings: Renderings
    held_out_renderings: Renderings | None
    sweep: Tensor
    lines: IdentityLines
    reconstruction_S: Array = field(repr=False)
    pastiches: PasticheSet | None = None
    pastiche_table: PasticheTable | None = None

    @property
    def contents(self) -> tuple[str, ...]:
        """Names of the faces."""
        return self.eval_set.contents

    @property
    def styles(self) -> tuple[str, ...]:
        """Names of the exemplars."""
        return self.eval_set.styles


def stack(portraits: Sequence[Portrait], size: int, frames: Frames = WHOLE) -> Tensor:
    """Stack aligned portraits as uint8 (N, 3, size, size), continued beyond their pictures."""
    images = [crop_to_tensor(image, frames.get(name), size) for name, image in portraits]
    return quantize(torch.stack(images)).cpu()


def render_sweep(model: PortraitModel, code_LD: Tensor, style: str, size: int) -> Tensor:
    """Render one face in one style at each pair of weights, uint8 (steps, steps, 3, H, W)."""
    rows = []
    extrinsic = model.styles.extrinsic_of([style])
    for structure in SWEEP_WEIGHTS:
        images = [
            model.render(code_LD[None], extrinsic, structure=structure, color=color, size=size)
            for color in SWEEP_WEIGHTS
        ]
        rows.append(quantize(torch.cat(images)).cpu())
    return torch.stack(rows)


@torch.no_grad()
def evaluate(
    model: PortraitModel,
    contents: Sequence[Portrait],
    codes: Mapping[str, Tensor],
    exemplars: Sequence[Portrait],
    held_out: Sequence[Portrait],
    extractor: FeatureExtractor,
    plan: EvaluationPlan,
    progress: Progress = lambda what, done, total: None,
    painter: RestyleMethod | None = None,
    originals: Originals | None = None,
    content_frames: Frames = WHOLE,
    style_frames: Frames = WHOLE,
    pastiches: Pastiches = NO_PASTICHES,
) -> Evaluation:
    """Measure a model on held-out faces.

    Args:
        model: packaged model to which the held-out exemplars have been added as styles.
        contents: held-out aligned faces, by name.
        codes: their Z+ codes (L, D), by name.
        exemplars: aligned training exemplars; each name must be a style of the model.
        held_out: aligned exemplars that no training has seen; may be empty.
        extractor: the measuring networks.
        plan: settings of the evaluation.
        progress: called with a description, the steps done and their total.
        painter: restyling without a warp, for `identity_painted_line`; None leaves it out.
        originals: exemplars at the resolution of their files, for the texture of large images;
            None takes `exemplars`.
        content_frames, style_frames: frames of the faces' and of all exemplars' pictures.
        pastiches: ideal results by the names of face and exemplar; those that are there give the
            measures `pastiche_*`.

    Raises:
        DataError: fewer than two faces or exemplars, or an exemplar that is no style of the model.
    """
    contents = evenly_spaced_subset(contents, plan.contents)
    exemplars = evenly_spaced_subset(exemplars, plan.styles)
    _check_known(model, [*exemplars, *held_out])
    frames = content_frames, style_frames
    eval_set = build_eval_set(model, contents, codes, exemplars, plan, *frames)
    bootstrap = {"seed": plan.seed, "resamples": plan.resamples}
    with compute_dtype(model.generator, dtype_of(plan.bfloat16)):
        renderings, natural = render(model, eval_set, plan, progress)
        sweep = render_sweep(model, eval_set.code_CLD[0], eval_set.styles[0], plan.size)
        random_faces = render_random_faces(model, plan)
        full_size = measure_full_size(
            model,
            eval_set,
            extractor,
            plan.large_pairs,
            plan.size,
            originals=originals or dict(exemplars).__getitem__,
            measure_size=plan.measure_size,
            **bootstrap,
        )
    pairs = ring_pairs(len(eval_set.styles), plan.diversity_pairs, plan.seed)
    references = describe_references(extractor, eval_set, natural, pairs)
    results = describe_results(extractor, eval_set, references, renderings, progress)
    table = pair_table(results)
    figures = measure(results, table, **bootstrap)
    figures |= measure_realism(references, extractor.describe(random_faces)[0], **bootstrap)
    figures |= full_size
    ideal = describe_pastiches(extractor, eval_set, pastiches)
    with compute_dtype(model.generator, dtype_of(plan.bfloat16)):
        lines = measure_identity_lines(
            model,
            eval_set,
            extractor,
            references,
            progress,
            painter=painter,
            pairs=curve_pairs(eval_set, ideal, plan.painted_pairs),
            pastiches=ideal,
            **bootstrap,
        )
        figures |= lines.figures
        figures |= measure_attributes(
            extractor,
            eval_set,
            results,
            renderings.results,
            lines.rendered_CCHW,
            ideal,
            dualstylegan(model, plan.size, plan.structure, 0.0),
            **bootstrap,
        )
    judged = None
    if ideal is not None:
        judged = compare_results(extractor, ideal, renderings.results, results.identities)
        rendered = lines.rendered_CCHW
        figures |= judge(judged, extractor, ideal, eval_set, references, rendered, **bootstrap)
    added = None
    if held_out:
        added_set = build_eval_set(model, contents, codes, held_out, plan, *frames)
        added, added_results = render_added(model, added_set, extractor, plan, progress)
        figures |= measure_added_styles(results, added_results, **bootstrap)
    return Evaluation(
        eval_set=eval_set,
        held_out=tuple(name for name, _ in held_out),
        figures=figures,
        table=table,
        renderings=renderings,
        held_out_renderings=added,
        sweep=sweep,
        lines=lines,
        reconstruction_S=results.reconstruction_S,
        pastiches=ideal,
        pastiche_table=judged,
    )


def judge(
    table: PasticheTable,
    extractor: FeatureExtractor,
    pastiches: PasticheSet,
    eval_set: EvalSet,
    references: References,
    rendered_CCHW: Tensor,
    *,
    seed: int,
    resamples: int,
) -> dict[str, Interval]:
    """Return the measures against ideal results, and the lines to read them by.

    Args:
        table: of the results that have a pastiche.
        extractor: the measuring networks.
        pastiches: of the evaluation set.
        eval_set, references: faces and exemplars with their descriptions.
        rendered_CCHW: uint8 images of g(code) of all faces.
        seed, resamples: of the bootstrap.
    """
    bootstrap = {"seed": seed, "resamples": resamples}
    photos, masks = references.face_identities, eval_set.exemplar_mask_S1HW
    return {
        **measure_pastiches(table, **bootstrap),
        **measure_pastiche_lines(extractor, pastiches, photos, rendered_CCHW, **bootstrap),
        **measure_pastiche_style(extractor, pastiches, references.exemplars, masks, **bootstrap),
    }


def curve_pairs(
    eval_set: EvalSet, pastiches: PasticheSet | None, wanted: int
) -> list[tuple[int, int]]:
    """Choose pairs of a face and an exemplar by index, evenly spaced over those with pastiches.

    Without any pastiche they are spaced over all.
    """
    faces: Sequence[int] = range(len(eval_set.contents))
    styles: Sequence[int] = range(len(eval_set.styles))
    if pastiches is not None:
        faces, styles = pastiches.faces, pastiches.styles
    spread = spread_pairs(len(faces), len(styles), wanted)
    return [(faces[row], styles[column]) for row, column in spread]


@torch.no_grad()
def render_added(
    model: PortraitModel,
    eval_set: EvalSet,
    extractor: FeatureExtractor,
    plan: EvaluationPlan,
    progress: Progress,
) -> tuple[Renderings, ResultDescriptions]:
    """Render and describe results in the styles of held-out exemplars, as of trained ones."""
    with compute_dtype(model.generator, dtype_of(plan.bfloat16)):
        renderings, natural = render(model, eval_set, plan, progress, "held out: ")
    references = describe_references(extractor, eval_set, natural, [])
    return renderings, describe_results(extractor, eval_set, references, renderings, progress)


def _check_known(model: PortraitModel, exemplars: Sequence[Portrait]) -> None:
    unknown = sorted({name for name, _ in exemplars} - set(model.styles.names))
    if unknown:
        raise DataError(
            "exemplars are not styles of the model",
            value=", ".join(unknown[:5]),
            limit=f"{len(model.styles.names)} styles",
            fix="package the model again",
        )


def build_eval_set(
    model: PortraitModel,
    contents: Sequence[Portrait],
    codes: Mapping[str, Tensor],
    exemplars: Sequence[Portrait],
    plan: EvaluationPlan,
    content_frames: Frames = WHOLE,
    style_frames: Frames = WHOLE,
) -> EvalSet:
    """Combine faces and exemplars with the codes that the model and the code table have for them.

    Args:
        model: packaged model whose styles include all exemplars.
        contents: aligned faces, by name.
        codes: Z+ codes (L, D) of the faces, by name.
        exemplars: aligned exemplars, by name.
        plan: image size and batch.
        content_frames, style_frames: frames of the faces' and of the exemplars' pictures.
    """
    names = [name for name, _ in exemplars]
    return EvalSet(
        contents=tuple(name for name, _ in contents),
        styles=tuple(names),
        code_CLD=torch.stack([codes[name] for name, _ in contents]).to(model.device),
        intrinsic_SLD=model.styles.intrinsic_of(names),
        extrinsic_SLD=model.styles.extrinsic_of(names),
        face_CCHW=stack(contents, plan.size, content_frames),
        exemplar_SCHW=stack(exemplars, plan.size, style_frames),
        truncation=model.config.defaults.truncation,
        batch=plan.batch,
        face_mask_C1HW=masks_of([content_frames.get(name) for name, _ in contents], plan.size),
        exemplar_mask_S1HW=masks_of([style_frames.get(name) for name in names], plan.size),
    )


def render_natural(model: PortraitModel, eval_set: EvalSet, plan: EvaluationPlan) -> Tensor:
    """Render g(z_i+) of every exemplar, uint8 (S, 3, H, W)."""
    return render_faces(
        model, eval_set.intrinsic_SLD, truncation=1.0, size=plan.size, batch=plan.batch
    )


def render_random_faces(model: PortraitModel, plan: EvaluationPlan) -> Tensor:
    """Render faces of random codes with g, uint8 (N, 3, H, W)."""
    rng = torch.Generator().manual_seed(plan.seed)
    generator = model.generator
    z_ND = torch.randn(plan.natural_faces, generator.style_dim, generator=rng).to(model.device)
    z_NLD = z_ND[:, None].expand(-1, generator.rows, -1)
    return render_faces(
        model, z_NLD, truncation=RANDOM_FACE_TRUNCATION, size=plan.size, batch=plan.batch
    )


def render(
    model: PortraitModel,
    eval_set: EvalSet,
    plan: EvaluationPlan,
    progress: Progress,
    prefix: str = "",
) -> tuple[Renderings, Tensor]:
    """Render results and reconstructions of DualStyleGAN, and g(z_i+) of every exemplar.

    Args:
        model: packaged model.
        eval_set: faces and exemplars.
        plan: image size, batch and style weights.
        progress: called with a description, the faces done and their number.
        prefix: of the description.
    """
    natural = render_natural(model, eval_set, plan)
    method = dualstylegan(model, plan.size, plan.structure, plan.color)
    # reconstructions always use full style weights, whatever weights the results have
    full_weights = dualstylegan(model, plan.size, 1.0, 1.0)
    results = eval_set.restyle(
        method, lambda what, done, total: progress(prefix + what, done, total)
    )
    return Renderings(results, eval_set.reconstruct(full_weights, natural)), natural
