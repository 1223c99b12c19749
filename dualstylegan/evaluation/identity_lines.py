"""Reference values of identity: rendered codes, painted faces, and the curve of structure weights.

Legend of shape suffixes: C content face or channel, S exemplar, P pair of a face and an exemplar,
L row, D style width, H, W.

A restyled face loses identity in three places: its code does not render the person, the warp of
the structure rows moves features away, and the style paints over them. g(code) bounds the first;
a face that is painted and not warped shows the last alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from dualstylegan.evaluation.bootstrap import Array, Interval, mean_interval
from dualstylegan.evaluation.descriptions import References
from dualstylegan.evaluation.eval_set import (
    EvalSet,
    Progress,
    RestyleMethod,
    dualstylegan,
    render_faces,
)
from dualstylegan.evaluation.extractor import FeatureExtractor
from dualstylegan.evaluation.pastiche import PasticheSet, compare, measure_pastiches
from dualstylegan.networks.style_embedding import style_distances
from dualstylegan.portrait.model import PortraitModel

Pairs = Sequence[tuple[int, int]]

SWEEP_WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
# Style weights (structure, color) of the curve; the last one has the exemplar's shapes alone.
CURVE_WEIGHTS = (*((structure, 1.0) for structure in SWEEP_WEIGHTS), (1.0, 0.0))


@dataclass(frozen=True)
class CurvePoint:
    """Identity and style of the same pairs at one pair of style weights.

    Attributes:
        identity: identity similarity to the photo.
        style_distance: style distance to the own exemplar.
        style_nearest: share of results whose own exemplar is the nearest of all.
        pastiche: measures against ideal results by name; empty where there are none.
    """

    structure: float
    color: float
    identity: Interval
    style_distance: Interval
    style_nearest: Interval
    pastiche: Mapping[str, Interval] = field(default_factory=dict)


@dataclass(frozen=True)
class IdentityLines:
    """Rendered codes, reference values and the curve.

    Attributes:
        rendered_CCHW: uint8 images of g(code), in the order of the faces.
        rendered_C: their identity similarity to the photos.
        figures: `identity_code_line`, and `identity_painted_line` where there is a painter.
        curve: one point per pair of CURVE_WEIGHTS; empty without pairs.
    """

    rendered_CCHW: Tensor
    rendered_C: Array
    figures: dict[str, Interval]
    curve: tuple[CurvePoint, ...]


def measure_identity_lines(
    model: PortraitModel,
    eval_set: EvalSet,
    extractor: FeatureExtractor,
    references: References,
    progress: Progress,
    *,
    painter: RestyleMethod | None,
    pairs: Pairs,
    pastiches: PasticheSet | None = None,
    seed: int,
    resamples: int,
) -> IdentityLines:
    """Measure the identity of g(code), of painted faces, and of results by structure weight.

    Args:
        model: packaged model.
        eval_set: faces and exemplars.
        extractor: the measuring networks.
        references: descriptions of faces and exemplars.
        progress: called with a description, the pairs done and their number.
        painter: restyling of a photo without a warp; None leaves the painted faces out.
        pairs: indices of a face and an exemplar, for painted faces and the curve.
        pastiches: ideal results of all pairs, for the curve; None where there are none.
        seed, resamples: of the bootstrap.
    """
    size = eval_set.face_CCHW.shape[-1]

    def mean(values: Array) -> Interval:
        return mean_interval(values, seed=seed, resamples=resamples)

    def identity(image_PCHW: Tensor, faces: Sequence[int]) -> Array:
        own = references.face_identities[list(faces)]
        similar: Array = (extractor.identities(image_PCHW) * own).sum(1)
        return similar

    rendered = render_faces(
        model, eval_set.code_CLD, truncation=eval_set.truncation, size=size, batch=eval_set.batch
    )
    rendered_C = identity(rendered, range(len(eval_set.contents)))
    figures = {"identity_code_line": mean(rendered_C)}
    faces, styles = [face for face, _ in pairs], [style for _, style in pairs]
    if painter is not None and pairs:
        painted = eval_set.restyle_pairs(
            painter, pairs, lambda done: progress("pairs painted", done, len(pairs))
        )
        figures["identity_painted_line"] = mean(identity(painted, faces))
    masks = eval_set.exemplar_mask_S1HW
    mask_P1HW = None if masks is None else masks[styles]
    curve = []
    for done, (structure, color) in enumerate(CURVE_WEIGHTS if pairs else ()):
        images = eval_set.restyle_pairs(dualstylegan(model, size, structure, color), pairs)
        described = extractor.describe(images, mask_N1HW=mask_P1HW)[0]
        distances_PS = style_distances(described, references.exemplars)
        own_P = distances_PS[np.arange(len(pairs)), styles]
        nearest_P = (own_P == distances_PS.min(1)).astype(np.float64)
        judged = {}
        if pastiches is not None:
            table = compare(extractor, pastiches, images, pairs)
            judged = measure_pastiches(table, seed=seed, resamples=resamples)
        likeness = mean(identity(images, faces))
        curve.append(CurvePoint(structure, color, likeness, mean(own_P), mean(nearest_P), judged))
        progress("style weights measured", done + 1, len(CURVE_WEIGHTS))
    return IdentityLines(rendered, rendered_C, figures, tuple(curve))
