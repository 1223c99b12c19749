"""Held-out exemplars: results in styles added at run time, next to those in trained styles.

Legend of shape suffixes: C content face, S trained exemplar, H held-out exemplar.
"""

from __future__ import annotations

import numpy as np

from dualstylegan.evaluation.bootstrap import Array, Interval, mean_interval
from dualstylegan.evaluation.descriptions import ResultDescriptions
from dualstylegan.evaluation.measures import exemplar_distances, similarities, to_own_face
from dualstylegan.evaluation.shape_measures import face_missing
from dualstylegan.networks.style_embedding import Description, join


def measure_added_styles(
    trained: ResultDescriptions, added: ResultDescriptions, *, seed: int, resamples: int
) -> dict[str, Interval]:
    """Measure the H added styles, and the S trained ones for reference.

    Both are compared with all S + H exemplars, so that they have the same number of rivals.

    Args:
        trained, added: results of the same faces in trained and in added styles.
        seed, resamples: of the bootstrap.

    Returns:
        `enrolled_*` for added styles and `enrolled_*_trained_line` for trained ones.
    """
    exemplars = join([trained.references.exemplars, added.references.exemplars])
    count = len(trained.references.styles)
    groups = {
        "": (added, range(count, len(exemplars))),
        "_trained_line": (trained, range(count)),
    }
    figures = {}
    for suffix, (results, own) in groups.items():
        for name, table in _tables(results, exemplars, own).items():
            figures[f"enrolled_{name}{suffix}"] = mean_interval(
                table, seed=seed, resamples=resamples
            )
    return figures


def _tables(results: ResultDescriptions, exemplars: Description, own: range) -> dict[str, Array]:
    """Tables (C, S) or (S,) that the measures are means of, by the measure's name."""
    count = len(results.references.contents)
    near, other, rank = exemplar_distances(results.results, exemplars, count, own)
    similar_NC = similarities(results.identities, results.references.face_identities)
    return {
        "style_nearest": (rank == 1).astype(np.float64),
        "style_nearer_than_mean": (near < other).astype(np.float64),
        "style_distance": near,
        "identity_same": to_own_face(similar_NC),
        "reconstruction_lpips": results.reconstruction_S,
        "artefact_rate": face_missing(results.landmarks_NK2).reshape(count, len(own)),
    }
