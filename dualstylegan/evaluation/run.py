"""Evaluation of a portrait model: render every face in every style, describe, measure.

Legend of shape suffixes: C content face, S exemplar, H, W, N image, L row, D style width.

Held-out exemplars, which no training has seen, are added to the model as styles beforehand. They
are rendered and measured like the others, and reported next to them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

import torch
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
    ring_pairs,
    spread_pairs,
)
from dualstylegan.evaluation.extractor import FeatureExtractor
from dualstylegan.evaluation.full_size import Originals, measure_full_size
from dualstylegan.evaluation.held_out import measure_added_styles
from dualstylegan.evaluation.identity_lines import (
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
from dualstylegan.evaluation.plan import EvaluationPlan
from dualstylegan.evaluation.rendering import (
    WHOLE,
    Frames,
    Portrait,
    Renderer,
    build_eval_set,
    render,
    render_random_faces,
    render_sweep,
)
from dualstylegan.networks.precision import compute_dtype, dtype_of
from dualstylegan.networks.style_embedding import Description
from dualstylegan.portrait.model import PortraitModel

NO_PASTICHES: Pastiches = {}
# Of the evaluation of trained styles, for the progress.
PARTS = 6


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
    renderer: Renderer | None = None,
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
        renderer: of the results, see `rendering.render`.

    Raises:
        DataError: fewer than two faces or exemplars, or an exemplar that is no style of the model.
    """
    contents = evenly_spaced_subset(contents, plan.contents)
    exemplars = evenly_spaced_subset(exemplars, plan.styles)
    _check_known(model, [*exemplars, *held_out])
    frames = content_frames, style_frames
    eval_set = build_eval_set(model, contents, codes, exemplars, plan, *frames)
    read = originals or dict(exemplars).__getitem__
    judges = _Judges(extractor, painter, read, progress, renderer)
    trained, results = _evaluate_trained(model, eval_set, judges, plan, pastiches)
    if not held_out:
        return trained
    added_set = build_eval_set(model, contents, codes, held_out, plan, *frames)
    added, added_results = render_added(model, added_set, judges, plan)
    return replace(
        trained,
        held_out=tuple(name for name, _ in held_out),
        figures=trained.figures | measure_added_styles(results, added_results, **plan.bootstrap),
        held_out_renderings=added,
    )


@dataclass(frozen=True)
class _Judges:
    """Networks and pictures by which results are measured, and the progress, see `evaluate`."""

    extractor: FeatureExtractor
    painter: RestyleMethod | None
    originals: Originals
    progress: Progress
    renderer: Renderer | None


@torch.no_grad()
def _evaluate_trained(
    model: PortraitModel,
    eval_set: EvalSet,
    judges: _Judges,
    plan: EvaluationPlan,
    pastiches: Pastiches,
) -> tuple[Evaluation, ResultDescriptions]:
    """Measure the styles of trained exemplars; return the descriptions of their results too."""
    extractor, progress = judges.extractor, judges.progress
    done = count(1)

    def tell() -> None:
        progress("parts measured", next(done), PARTS)

    renderings, natural, sweep, described, full_size = _render_trained(
        model, eval_set, judges, plan
    )
    tell()
    pairs = ring_pairs(len(eval_set.styles), plan.diversity_pairs, plan.seed)
    references = describe_references(extractor, eval_set, natural, pairs)
    tell()
    results = describe_results(extractor, eval_set, references, renderings, progress)
    tell()
    table = pair_table(results)
    figures = measure(results, table, **plan.bootstrap)
    figures |= measure_realism(references, described, **plan.bootstrap) | full_size
    ideal = describe_pastiches(extractor, eval_set, pastiches)
    with compute_dtype(model.generator, dtype_of(plan.bfloat16, model.device)):
        lines = _measure_lines(model, eval_set, judges, plan, references, ideal)
        tell()
        own_color = dualstylegan(model, plan.size, plan.structure, 0.0)
        figures |= lines.figures | measure_attributes(
            extractor,
            eval_set,
            results,
            renderings.results,
            lines.rendered_CCHW,
            ideal,
            own_color,
            **plan.bootstrap,
        )
    tell()
    judged = None
    if ideal is not None:
        judged = compare_results(extractor, ideal, renderings.results, results.identities)
        rendered = lines.rendered_CCHW
        figures |= judge(
            judged, extractor, ideal, eval_set, references, rendered, progress, **plan.bootstrap
        )
    tell()
    evaluation = Evaluation(
        eval_set=eval_set,
        held_out=(),
        figures=figures,
        table=table,
        renderings=renderings,
        held_out_renderings=None,
        sweep=sweep,
        lines=lines,
        reconstruction_S=results.reconstruction_S,
        pastiches=ideal,
        pastiche_table=judged,
    )
    return evaluation, results


def _render_trained(
    model: PortraitModel, eval_set: EvalSet, judges: _Judges, plan: EvaluationPlan
) -> tuple[Renderings, Tensor, Tensor, Description, dict[str, Interval]]:
    """Render all pictures of the trained styles.

    Returns:
        Results and reconstructions, g(z_i+) of every exemplar, the sweep of weights, descriptors of
        faces of random codes, and the figures of full size.
    """
    extractor = judges.extractor
    with compute_dtype(model.generator, dtype_of(plan.bfloat16, model.device)):
        renderings, natural = render(model, eval_set, plan, judges.progress, judges.renderer)
        sweep = render_sweep(model, eval_set.code_CLD[0], eval_set.styles[0], plan.size)
        random_faces = render_random_faces(model, plan)
        full_size = measure_full_size(
            model,
            eval_set,
            extractor,
            plan.large_pairs,
            plan.size,
            originals=judges.originals,
            measure_size=plan.measure_size,
            **plan.bootstrap,
        )
    return renderings, natural, sweep, extractor.describe(random_faces)[0], full_size


def _measure_lines(
    model: PortraitModel,
    eval_set: EvalSet,
    judges: _Judges,
    plan: EvaluationPlan,
    references: References,
    pastiches: PasticheSet | None,
) -> IdentityLines:
    """Measure g(code) of each face and the curve of structure weights."""
    return measure_identity_lines(
        model,
        eval_set,
        judges.extractor,
        references,
        judges.progress,
        painter=judges.painter,
        pairs=curve_pairs(eval_set, pastiches, plan.painted_pairs),
        pastiches=pastiches,
        **plan.bootstrap,
    )


def judge(
    table: PasticheTable,
    extractor: FeatureExtractor,
    pastiches: PasticheSet,
    eval_set: EvalSet,
    references: References,
    rendered_CCHW: Tensor,
    progress: Progress,
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
        progress: called with a description, the styles done and their number.
        seed, resamples: of the bootstrap.
    """
    bootstrap = {"seed": seed, "resamples": resamples}
    photos, masks = references.face_identities, eval_set.exemplar_mask_S1HW
    return {
        **measure_pastiches(table, **bootstrap),
        **measure_pastiche_lines(
            extractor, pastiches, photos, rendered_CCHW, progress, **bootstrap
        ),
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
    model: PortraitModel, eval_set: EvalSet, judges: _Judges, plan: EvaluationPlan
) -> tuple[Renderings, ResultDescriptions]:
    """Render and describe results in the styles of held-out exemplars, as of trained ones."""
    extractor = judges.extractor

    def held_out(what: str, done: int, total: int) -> None:
        judges.progress(f"held out: {what}", done, total)

    with compute_dtype(model.generator, dtype_of(plan.bfloat16, model.device)):
        renderings, natural = render(model, eval_set, plan, held_out, judges.renderer)
    references = describe_references(extractor, eval_set, natural, [])
    return renderings, describe_results(extractor, eval_set, references, renderings, held_out)


def _check_known(model: PortraitModel, exemplars: Sequence[Portrait]) -> None:
    unknown = sorted({name for name, _ in exemplars} - set(model.styles.names))
    if unknown:
        raise DataError(
            "exemplars are not styles of the model",
            value=", ".join(unknown[:5]),
            limit=f"{len(model.styles.names)} styles",
            fix="package the model again",
        )
