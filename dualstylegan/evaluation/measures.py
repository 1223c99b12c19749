"""The measures, from descriptions of pictures to figures with intervals and lines to beat.

Legend of shape suffixes: C content face, S exemplar (style), T exemplar compared with, E identity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dualstylegan.errors import DataError
from dualstylegan.evaluation.bootstrap import Array, Interval, mean_interval
from dualstylegan.evaluation.embedding import (
    Description,
    squared_distances,
    style_distances,
)
from dualstylegan.evaluation.kid import half_against_half, results_against_styles, sets_apart
from dualstylegan.networks.identity import SAME_PERSON_DISTANCE

ACCEPTED = 0.5  # similarity at dlib's own limit for "same person"


@dataclass(frozen=True)
class Subjects:
    """Everything measured of the pictures; tables of results go content by content.

    Attributes:
        contents, styles: names of the C held-out faces and of the S exemplars.
        faces, exemplars, results: descriptions of C, S and C x S pictures.
        face_identities, result_identities: face descriptors (C, E) and (C x S, E).
        reconstruction_S: LPIPS of G(z_i+, z_e+, 1) to its exemplar.
        intrinsic_S: LPIPS of g(z_i+), the face before the style, to its exemplar: the line.
        spread_CP: LPIPS between two results of one face, for P pairs of exemplars.
        exemplar_spread_P: LPIPS between the exemplars of the same pairs: the line.
    """

    contents: tuple[str, ...]
    styles: tuple[str, ...]
    faces: Description
    exemplars: Description
    results: Description
    face_identities: Array
    result_identities: Array
    reconstruction_S: Array
    intrinsic_S: Array
    spread_CP: Array
    exemplar_spread_P: Array


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
    shape = (len(subjects.contents), len(subjects.styles))
    if min(shape) < 2:
        raise DataError(
            "too few pictures to evaluate",
            value=f"{shape[0]} contents and {shape[1]} exemplars",
            limit="at least 2 of each",
            fix="add portraits, or raise evaluate.contents and evaluate.styles",
        )
    similar = similarities(subjects.result_identities, subjects.face_identities)
    similar_CSC = similar.reshape(*shape, shape[0])
    own_face = np.arange(shape[0])
    identity = similar_CSC[own_face, :, own_face]
    impostor = (similar_CSC.sum(2) - identity) / (shape[0] - 1)

    distances_CST = style_distances(subjects.results, subjects.exemplars).reshape(*shape, shape[1])
    own_style = np.arange(shape[1])
    own = distances_CST[:, own_style, own_style]
    other = (distances_CST.sum(2) - own) / (shape[1] - 1)
    return PairTable(
        identity=identity,
        impostor=impostor,
        recognised=(similar_CSC.argmax(2) == own_face[:, None]).astype(np.float64),
        own_distance=own,
        other_distance=other,
        face_distance=style_distances(subjects.faces, subjects.exemplars),
        rank=(distances_CST < own[..., None]).sum(2) + 1.0,
    )


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

    results, exemplars = subjects.results.pooled_NF, subjects.exemplars.pooled_NF
    count = len(subjects.contents)
    people = different_people(subjects.face_identities)
    accepted = np.where(np.isnan(people), np.nan, (people > ACCEPTED).astype(np.float64))
    faces = subjects.faces.pooled_NF
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
        "reconstruction_intrinsic_line": mean(subjects.intrinsic_S),
        "style_nearer_than_mean": share(table.own_distance < table.other_distance),
        "style_nearest": share(table.rank == 1),
        "style_nearest_chance_line": _constant(1 / len(subjects.styles)),
        "style_distance": mean(table.own_distance),
        "style_distance_other_line": mean(table.other_distance),
        "style_distance_face_line": mean(table.face_distance),
        "diversity_lpips": mean(subjects.spread_CP),
        "diversity_exemplars_line": mean(subjects.exemplar_spread_P),
    }
    if len(exemplars) >= 4:
        figures["kid_halves_line"] = half_against_half(exemplars, seed=seed)
    ratio = _share(figures["kid_results"], figures["kid_faces_line"])
    if ratio is not None:
        figures["kid_ratio"] = ratio
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
