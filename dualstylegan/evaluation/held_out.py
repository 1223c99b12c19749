"""Held-out exemplars: how close one that is enrolled at run time comes to those of the training.

Legend of shape suffixes: C content face, S trained exemplar, H held-out exemplar.
"""

from __future__ import annotations

import numpy as np

from dualstylegan.evaluation.bootstrap import Array, Interval, mean_interval
from dualstylegan.evaluation.measures import nearness, similarities
from dualstylegan.evaluation.shape_measures import lost
from dualstylegan.evaluation.subjects import Subjects
from dualstylegan.networks.style_embedding import Description, join


def measure_enrolled(
    trained: Subjects, enrolled: Subjects, *, seed: int, resamples: int
) -> dict[str, Interval]:
    """Figures of the H enrolled exemplars, beside the same figures of the S trained ones.

    All are held against all S + H exemplars, so that both have as many to be mistaken for.

    Args:
        trained, enrolled: what was seen of the results of the same faces in either.
    """
    exemplars = join([trained.backdrop.exemplars, enrolled.backdrop.exemplars])
    count = len(trained.backdrop.styles)
    sides = {
        "": (enrolled, range(count, len(exemplars))),
        "_trained_line": (trained, range(count)),
    }
    figures = {}
    for ending, (subjects, own) in sides.items():
        for name, table in _tables(subjects, exemplars, own).items():
            figures[f"enrolled_{name}{ending}"] = mean_interval(
                table, seed=seed, resamples=resamples
            )
    return figures


def _tables(subjects: Subjects, exemplars: Description, own: range) -> dict[str, Array]:
    """What each figure is the mean of: (C, S) or (S,) tables by the figure's name."""
    count = len(subjects.backdrop.contents)
    near, other, rank = nearness(subjects.results, exemplars, count, own)
    similar_CSC = similarities(subjects.identities, subjects.backdrop.face_identities).reshape(
        count, len(own), count
    )
    faces = np.arange(count)
    return {
        "style_nearest": (rank == 1).astype(np.float64),
        "style_nearer_than_mean": (near < other).astype(np.float64),
        "style_distance": near,
        "identity_same": similar_CSC[faces, :, faces],
        "reconstruction_lpips": subjects.reconstruction_S,
        "artefact_rate": lost(subjects.results_NK2).reshape(count, len(own)),
    }
