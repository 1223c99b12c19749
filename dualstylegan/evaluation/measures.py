"""The measures, from descriptions of pictures to figures with intervals and lines to beat.

Legend of shape suffixes: C content face, S exemplar (style), T exemplar compared with, E identity
width, N, M descriptor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dualstylegan.errors import DataError
from dualstylegan.evaluation.bootstrap import Array, Interval, mean_interval
from dualstylegan.evaluation.kid import half_against_half, results_against_styles, sets_apart
from dualstylegan.evaluation.shape_measures import Shapes, measure_shapes
from dualstylegan.evaluation.subjects import Backdrop, Subjects
from dualstylegan.networks.identity import SAME_PERSON_DISTANCE
from dualstylegan.networks.style_embedding import (
    Description,
    squared_distances,
    style_distances,
)

ACCEPTED = 0.5  # similarity at dlib's own limit for "same person"


@dataclass(frozen=True)
class PairTable:
    """One row a result: what the figures are means of. Each field is a (C, S) table."""

    identity: Array
    impostor: Array
    recognised: Array
    own_distance: Array
    other_distance: Array
    face_distance: Array
    rank: Array

    def columns(self) -> dict[str, Array]:
        """The fields by name."""
        return dict(vars(self))


def pair_table(subjects: Subjects) -> PairTable:
    """Measure every result against its own face and exemplar, and against all the others.

    Raises:
        DataError: fewer than two faces or exemplars, so that there are no others.
    """
    backdrop = subjects.backdrop
    shape = (len(backdrop.contents), len(backdrop.styles))
    if min(shape) < 2:
        raise DataError(
            "too few pictures to evaluate",
            value=f"{shape[0]} contents and {shape[1]} exemplars",
            limit="at least 2 of each",
            fix="add portraits, or raise evaluate.contents and evaluate.styles",
        )
    similar = similarities(subjects.identities, backdrop.face_identities)
    similar_CSC = similar.reshape(*shape, shape[0])
    own_face = np.arange(shape[0])
    identity = similar_CSC[own_face, :, own_face]
    impostor = (similar_CSC.sum(2) - identity) / (shape[0] - 1)
    own, other, rank = nearness(subjects.results, backdrop.exemplars, shape[0], range(shape[1]))
    return PairTable(
        identity=identity,
        impostor=impostor,
        recognised=(similar_CSC.argmax(2) == own_face[:, None]).astype(np.float64),
        own_distance=own,
        other_distance=other,
        face_distance=style_distances(backdrop.faces, backdrop.exemplars),
        rank=rank,
    )


def nearness(
    results: Description, exemplars: Description, contents: int, own: Sequence[int]
) -> tuple[Array, Array, Array]:
    """How near each result is to its exemplar among T exemplars.

    Args:
        results: C x S pictures, content by content.
        exemplars: T of them.
        contents: C.
        own: the number among the T of each of the S exemplars.

    Returns:
        Style distance to the own exemplar, mean distance to the others, and the own one's place
        by distance (1: nearest), each (C, S).
    """
    distances_CST = style_distances(results, exemplars).reshape(contents, len(own), -1)
    near = distances_CST[:, np.arange(len(own)), list(own)]
    other = (distances_CST.sum(2) - near) / (distances_CST.shape[2] - 1)
    return near, other, (distances_CST < near[..., None]).sum(2) + 1.0


def similarities(first_NE: Array, second_ME: Array) -> Array:
    """Identity similarity of every descriptor to every other, (N, M); see `networks.identity`.

    1 for the same descriptor, 0.5 where dlib still says "same person".
    """
    apart = np.sqrt(squared_distances(first_NE, second_ME))
    similar: Array = 1 - apart / (2 * SAME_PERSON_DISTANCE)
    return similar


def different_people(face_identities: Array) -> Array:
    """Similarity of every face to every other, (C, C), NaN on the diagonal."""
    similar = similarities(face_identities, face_identities)
    np.fill_diagonal(similar, np.nan)
    return similar


def measure(
    subjects: Subjects, table: PairTable, *, seed: int, resamples: int
) -> dict[str, Interval]:
    """All figures by the names that metrics.json uses. See `docs/evaluation.md` for each.

    Names ending in `_line` are what a figure is to be held against.
    """

    def mean(values: Array, *, same_units: bool = False) -> Interval:
        return mean_interval(values, seed=seed, same_units=same_units, resamples=resamples)

    def share(holds: NDArray[np.bool_]) -> Interval:
        return mean(holds.astype(np.float64))

    backdrop = subjects.backdrop
    results, exemplars = subjects.results.pooled_NF, backdrop.exemplars.pooled_NF
    count = len(backdrop.contents)
    people = different_people(backdrop.face_identities)
    accepted = np.where(np.isnan(people), np.nan, (people > ACCEPTED).astype(np.float64))
    faces = backdrop.faces.pooled_NF
    figures = {
        "kid_results": results_against_styles(
            results, exemplars, count, seed=seed, resamples=resamples
        ),
        "kid_faces_line": sets_apart(faces, exemplars, seed=seed, resamples=resamples),
        "identity_same": mean(table.identity),
        "identity_impostor_line": mean(table.impostor),
        "identity_people_line": mean(people, same_units=True),
        "identity_recognised": mean(table.recognised),
        "identity_accepted": share(table.identity > ACCEPTED),
        "identity_accepted_people_line": mean(accepted, same_units=True),
        "reconstruction_lpips": mean(subjects.reconstruction_S),
        "reconstruction_intrinsic_line": mean(backdrop.intrinsic_S),
        "style_nearer_than_mean": share(table.own_distance < table.other_distance),
        "style_nearest": share(table.rank == 1),
        "style_nearest_chance_line": _constant(1 / len(backdrop.styles)),
        "style_distance": mean(table.own_distance),
        "style_distance_other_line": mean(table.other_distance),
        "style_distance_face_line": mean(table.face_distance),
        "diversity_lpips": mean(subjects.spread_CP),
        "diversity_exemplars_line": mean(backdrop.exemplar_spread_P),
    }
    if len(exemplars) >= 4:
        figures["kid_halves_line"] = half_against_half(exemplars, seed=seed)
    ratio = _share(figures["kid_results"], figures["kid_faces_line"])
    if ratio is not None:
        figures["kid_ratio"] = ratio
    landmarks = subjects.results_NK2
    shapes = Shapes(
        backdrop.faces_CK2,
        backdrop.exemplars_SK2,
        landmarks.reshape(count, -1, *landmarks.shape[1:]),
    )
    return figures | measure_shapes(shapes, seed=seed, resamples=resamples)


def measure_realism(
    backdrop: Backdrop, fresh: Description, *, seed: int, resamples: int
) -> dict[str, Interval]:
    """Destylization: are the g(z_i+) faces like any other of the generator?

    Args:
        fresh: faces of random codes.
    """
    natural, exemplars = backdrop.natural.pooled_NF, backdrop.exemplars.pooled_NF
    faces = fresh.pooled_NF
    figures = {
        "natural_kid": sets_apart(natural, faces, seed=seed, resamples=resamples),
        "natural_exemplars_line": sets_apart(exemplars, faces, seed=seed, resamples=resamples),
    }
    if len(faces) >= 4:
        figures["natural_halves_line"] = half_against_half(faces, seed=seed)
    return figures


def _share(ours: Interval, line: Interval) -> Interval | None:
    """What is left of a line, with the widest interval that the two intervals allow.

    None when the line is not above zero, so that there is nothing to take a share of.
    """
    if line.value <= 0:
        return None
    low = ours.low / (line.high if ours.low > 0 else line.value)
    high = ours.high / line.low if line.low > 0 else ours.high / line.value
    return Interval(ours.value / line.value, low, high)


def _constant(value: float) -> Interval:
    return Interval(value, value, value)
