"""Measures computed from descriptions of images, with intervals and reference values.

Legend of shape suffixes: C content face, S exemplar (style), T exemplar compared with, E identity
width, F style feature, N, M descriptor, P pair of exemplars, K landmark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dualstylegan.evaluation.bootstrap import Array, Interval, mean_interval
from dualstylegan.evaluation.descriptions import References, ResultDescriptions
from dualstylegan.evaluation.kid import kid_of_halves, kid_of_results, kid_of_sets
from dualstylegan.evaluation.limits import check_counts
from dualstylegan.evaluation.shape_measures import LandmarkTables, face_missing, measure_shapes
from dualstylegan.networks.facenet import SAME_PERSON_COSINE
from dualstylegan.networks.identity import SAME_PERSON_DISTANCE
from dualstylegan.networks.style_embedding import (
    Description,
    squared_distances,
    style_distances,
)

# Name of the measure behind all figures of identity but `identity_dlib`. Figures of two models can
# be compared only if it is the same; change it when the network or its similarity changes.
IDENTITY_MEASURE = "facenet-cosine"


@dataclass(frozen=True)
class PairTable:
    """Values of each result, from which figures are averaged. Each field is a (C, S) table.

    Attributes:
        identity: identity similarity (FaceNet) to the result's own face.
        impostor: mean identity similarity to all other faces.
        recognised: 1 if the result's own face is the most similar one, else 0.
        identity_dlib: similarity to the result's own face by dlib's network.
        own_distance: style distance to the result's own exemplar.
        other_distance: mean style distance to all other exemplars.
        face_distance: style distance of the untouched face to the exemplar.
        rank: rank of the own exemplar by style distance; 1 is the nearest.
        artefact: 1 if the result shows no plausible face, else 0.
    """

    identity: Array
    impostor: Array
    recognised: Array
    identity_dlib: Array
    own_distance: Array
    other_distance: Array
    face_distance: Array
    rank: Array
    artefact: Array

    def columns(self) -> dict[str, Array]:
        """Return the fields by name."""
        return dict(vars(self))


def pair_table(results: ResultDescriptions) -> PairTable:
    """Compare every result with its own face and exemplar, and with all others.

    Raises:
        DataError: fewer than two faces or exemplars, so that there are no others.
    """
    references = results.references
    shape = (len(references.contents), len(references.styles))
    check_counts(*shape)
    similar_NC = similarities(results.identities, references.face_identities)
    identity = to_own_face(similar_NC)
    similar_CSC = similar_NC.reshape(*shape, shape[0])
    impostor = (similar_CSC.sum(2) - identity) / (shape[0] - 1)
    own, other, rank = exemplar_distances(
        results.results, references.exemplars, shape[0], range(shape[1])
    )
    return PairTable(
        identity=identity,
        impostor=impostor,
        recognised=(similar_CSC.argmax(2) == np.arange(shape[0])[:, None]).astype(np.float64),
        identity_dlib=to_own_face(dlib_similarities(results.dlib, references.face_dlib)),
        own_distance=own,
        other_distance=other,
        face_distance=style_distances(references.faces, references.exemplars),
        rank=rank,
        artefact=face_missing(results.landmarks_NK2).reshape(shape),
    )


def exemplar_distances(
    results: Description, exemplars: Description, contents: int, own: Sequence[int]
) -> tuple[Array, Array, Array]:
    """Compute style distances of results to T exemplars, and the rank of their own exemplar.

    Args:
        results: C x S results, face by face.
        exemplars: T exemplars.
        contents: number of faces C.
        own: index among the T exemplars of each of the S own ones.

    Returns:
        Distance to the own exemplar, mean distance to the others, and rank of the own exemplar
        (1 is the nearest), each (C, S).
    """
    distances_CST = style_distances(results, exemplars).reshape(contents, len(own), -1)
    near = distances_CST[:, np.arange(len(own)), list(own)]
    other = (distances_CST.sum(2) - near) / (distances_CST.shape[2] - 1)
    return near, other, (distances_CST < near[..., None]).sum(2) + 1.0


def similarities(first_NE: Array, second_ME: Array) -> Array:
    """Compute the identity similarity of each pair of FaceNet's descriptors, (N, M): the cosine.

    1 for equal descriptors, about 0.05 for two people, above SAME_PERSON_COSINE for one.
    """
    similar: Array = first_NE @ second_ME.T
    return similar


def dlib_similarities(first_NE: Array, second_ME: Array) -> Array:
    """Compute the similarity of each pair of dlib's descriptors, (N, M).

    1 for equal descriptors, 0.5 at dlib's threshold for "same person"; see `networks.identity`.
    """
    apart = np.sqrt(squared_distances(first_NE, second_ME))
    similar: Array = 1 - apart / (2 * SAME_PERSON_DISTANCE)
    return similar


def to_own_face(similar_NC: Array) -> Array:
    """Select the similarity of each result to its own face, (C, S), from those to all C faces."""
    own = np.arange(similar_NC.shape[1])
    similar: Array = similar_NC.reshape(len(own), -1, len(own))[own, :, own]
    return similar


def between_faces(similar_CC: Array) -> Array:
    """Return the similarities of the faces to each other, (C, C), with NaN on the diagonal."""
    return np.where(np.eye(len(similar_CC), dtype=bool), np.nan, similar_CC)


def measure(
    results: ResultDescriptions, table: PairTable, *, seed: int, resamples: int
) -> dict[str, Interval]:
    """Compute all figures by the names that metrics.json uses; see `docs/evaluation.md`.

    Figures whose names end in `_line` are reference values.

    Args:
        results: descriptions of results and references.
        table: of the same results.
        seed, resamples: of the bootstrap.
    """

    def mean(values: Array, *, same_units: bool = False) -> Interval:
        return mean_interval(values, seed=seed, same_units=same_units, resamples=resamples)

    def share(holds: NDArray[np.bool_]) -> Interval:
        return mean(holds.astype(np.float64))

    references = results.references
    people = between_faces(similarities(references.face_identities, references.face_identities))
    people_dlib = between_faces(dlib_similarities(references.face_dlib, references.face_dlib))
    pooled, exemplars = results.results.pooled_NF, references.exemplars.pooled_NF
    count = len(references.contents)
    accepted = between_faces((people > SAME_PERSON_COSINE).astype(np.float64))
    faces = references.faces.pooled_NF
    figures = {
        "kid_results": kid_of_results(pooled, exemplars, count, seed=seed, resamples=resamples),
        "kid_faces_line": kid_of_sets(faces, exemplars, seed=seed, resamples=resamples),
        "identity_same": mean(table.identity),
        "identity_impostor_line": mean(table.impostor),
        "identity_people_line": mean(people, same_units=True),
        "identity_recognised": mean(table.recognised),
        "identity_accepted": share(table.identity > SAME_PERSON_COSINE),
        "identity_accepted_people_line": mean(accepted, same_units=True),
        "identity_dlib": mean(table.identity_dlib),
        "identity_dlib_people_line": mean(people_dlib, same_units=True),
        "reconstruction_lpips": mean(results.reconstruction_S),
        "reconstruction_intrinsic_line": mean(references.intrinsic_S),
        "style_nearer_than_mean": share(table.own_distance < table.other_distance),
        "style_nearest": share(table.rank == 1),
        "style_nearest_chance_line": _constant(1 / len(references.styles)),
        "style_distance": mean(table.own_distance),
        "style_distance_other_line": mean(table.other_distance),
        "style_distance_face_line": mean(table.face_distance),
        "diversity_lpips": mean(results.spread_CP),
        "diversity_exemplars_line": mean(references.exemplar_spread_P),
    }
    if len(exemplars) >= 4:
        figures["kid_halves_line"] = kid_of_halves(exemplars, seed=seed)
    ratio = _ratio(figures["kid_results"], figures["kid_faces_line"])
    if ratio is not None:
        figures["kid_ratio"] = ratio
    landmarks = results.landmarks_NK2
    tables = LandmarkTables(
        references.faces_CK2,
        references.exemplars_SK2,
        landmarks.reshape(count, -1, *landmarks.shape[1:]),
    )
    return figures | measure_shapes(tables, seed=seed, resamples=resamples)


def measure_realism(
    references: References, random_faces: Description, *, seed: int, resamples: int
) -> dict[str, Interval]:
    """Measure the realism of destylization: the kernel distance of g(z_i+) to random faces of g.

    Args:
        references: with descriptions of g(z_i+) and of the exemplars.
        random_faces: faces of random codes.
        seed, resamples: of the bootstrap.
    """
    natural, exemplars = references.natural.pooled_NF, references.exemplars.pooled_NF
    faces = random_faces.pooled_NF
    figures = {
        "natural_kid": kid_of_sets(natural, faces, seed=seed, resamples=resamples),
        "natural_exemplars_line": kid_of_sets(exemplars, faces, seed=seed, resamples=resamples),
    }
    if len(faces) >= 4:
        figures["natural_halves_line"] = kid_of_halves(faces, seed=seed)
    return figures


def _ratio(ours: Interval, line: Interval) -> Interval | None:
    """Ratio of two intervals, with the widest bounds that both allow.

    None if the reference value is not positive, so that the ratio means nothing.
    """
    if line.value <= 0:
        return None
    low = ours.low / (line.high if ours.low > 0 else line.value)
    high = ours.high / line.low if line.low > 0 else ours.high / line.value
    return Interval(ours.value / line.value, low, high)


def _constant(value: float) -> Interval:
    return Interval(value, value, value)
