"""Measures of shapes: structure that follows the exemplar, content that stays, faces that are lost.

Legend of shape suffixes: C content face, S exemplar, T exemplar compared with, K landmark, F figure
of pose or expression, V flattened landmarks (2 K).

Pictures without a plausible face have NaN for landmarks and are left out, all but of the share of
faces that are lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dualstylegan.errors import DataError
from dualstylegan.evaluation.bootstrap import (
    Array,
    Interval,
    difference,
    mean_interval,
    ratio_interval,
)
from dualstylegan.evaluation.geometry import expressions, poses, structures


@dataclass(frozen=True)
class Shapes:
    """Landmarks of C faces, S exemplars and their results.

    Attributes:
        faces_CK2, exemplars_SK2, results_CSK2: in pixels; NaN where there is no plausible face.
    """

    faces_CK2: Array
    exemplars_SK2: Array
    results_CSK2: Array


def lost(shapes: Array) -> Array:
    """1 where a picture shows no plausible face, 0 where it does; landmarks (..., K, 2)."""
    missing: Array = np.asarray(np.isnan(shapes).any((-1, -2)), np.float64)
    return missing


def moved(shapes: Shapes) -> tuple[Array, Array]:
    """How far results went from their face towards each exemplar, as (C, S, T) tables.

    The share of the way is <r - f, e - f> / |e - f|^2 of the structures r of a result, f of its
    face and e of an exemplar: 0 where the face stands, 1 where the exemplar does.

    Returns:
        <r - f, e - f> and |e - f|^2.
    """
    counts = shapes.results_CSK2.shape[:2]
    flat = shapes.results_CSK2.reshape(-1, *shapes.results_CSK2.shape[2:])
    face_CV = structures(shapes.faces_CK2).reshape(counts[0], -1)
    exemplar_TV = structures(shapes.exemplars_SK2).reshape(counts[1], -1)
    gone_CSV = structures(flat).reshape(*counts, -1) - face_CV[:, None]
    way_CTV = exemplar_TV[None] - face_CV[:, None]
    over_CST = np.einsum("csv,ctv->cst", gone_CSV, way_CTV)
    under_CT = (way_CTV**2).sum(-1)
    return over_CST, np.broadcast_to(under_CT[:, None], over_CST.shape)


def changes(faces_CF: Array, results_CSF: Array, *, typical: bool) -> tuple[Array, Array, Array]:
    """Change of figures of pose or expression, in units of what two different faces differ by.

    Args:
        faces_CF, results_CSF: the figures of the faces and of the results.
        typical: take out what an exemplar does to all faces alike: large eyes are its structure.

    Returns:
        Result against its own face (C, S), against the mean other face (C, S), and face against
        face (C, C) with NaN on the diagonal.
    """
    apart_CCF = np.abs(faces_CF[:, None] - faces_CF[None])
    apart_CCF[np.eye(len(faces_CF), dtype=bool)] = np.nan
    unit_F = np.maximum(_mean_known(apart_CCF.reshape(-1, apart_CCF.shape[-1]), 0), 1e-9)
    # result of face c in style s against face d
    gone_CSDF = results_CSF[:, :, None] - faces_CF[None, None]
    if typical:
        own = np.einsum("cscf->csf", gone_CSDF)
        gone_CSDF = gone_CSDF - _mean_known(own, 0)[None, :, None]
    change_CSD = np.abs(gone_CSDF / unit_F).mean(-1)
    own_CS = np.einsum("csc->cs", change_CSD)
    others = change_CSD.copy()
    others[np.arange(len(faces_CF)), :, np.arange(len(faces_CF))] = np.nan
    return own_CS, _mean_known(others, -1), (apart_CCF / unit_F).mean(-1)


def _mean_known(values: Array, axis: int) -> Array:
    """Mean along an axis of what is no NaN; NaN where all is."""
    known = np.isfinite(values)
    count = known.sum(axis)
    total = np.where(known, values, 0.0).sum(axis)
    mean: Array = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return mean


def measure_shapes(shapes: Shapes, *, seed: int, resamples: int) -> dict[str, Interval]:
    """Structure fidelity, content retention and lost faces by the names of metrics.json.

    Without two faces, an exemplar and a result of each that can be measured, lost faces alone.
    """
    sides = {
        "artefact_rate": shapes.results_CSK2,
        "artefact_faces_line": shapes.faces_CK2,
        "artefact_exemplars_line": shapes.exemplars_SK2,
    }
    figures = {
        name: mean_interval(lost(side), seed=seed, resamples=resamples)
        for name, side in sides.items()
    }
    try:
        return {
            **figures,
            **_structure(shapes, seed=seed, resamples=resamples),
            **_content(shapes, seed=seed, resamples=resamples),
        }
    except DataError:
        return figures


def _structure(shapes: Shapes, *, seed: int, resamples: int) -> dict[str, Interval]:
    over_CST, under_CST = moved(shapes)
    own = np.arange(over_CST.shape[1])
    missing = ~(np.isfinite(over_CST) & np.isfinite(under_CST))
    over, under = (np.where(missing, 0.0, table) for table in (over_CST, under_CST))
    known = np.where(missing[:, own, own], np.nan, 1.0)

    def ratio(over_CS: Array, under_CS: Array) -> Interval:
        return ratio_interval(over_CS * known, under_CS, seed=seed, resamples=resamples)

    towards = ratio(over[:, own, own], under[:, own, own])
    others = ratio(
        over.sum(2) - over[:, own, own],
        under.sum(2) - under[:, own, own],
    )
    return {
        "structure_moved": towards,
        "structure_moved_other_line": others,
        "structure_own": difference(towards, others),
        "structure_measured": mean_interval(
            (~missing[:, own, own]).astype(np.float64), seed=seed, resamples=resamples
        ),
    }


def _content(shapes: Shapes, *, seed: int, resamples: int) -> dict[str, Interval]:
    counts = shapes.results_CSK2.shape[:2]
    flat = shapes.results_CSK2.reshape(-1, *shapes.results_CSK2.shape[2:])
    figures: dict[str, Interval] = {}
    for name, of, typical in (("pose", poses, False), ("expression", expressions, True)):
        results_CSF = of(flat).reshape(*counts, -1)
        own, others, people = changes(of(shapes.faces_CK2), results_CSF, typical=typical)
        figures |= {
            f"{name}_change": mean_interval(own, seed=seed, resamples=resamples),
            f"{name}_impostor_line": mean_interval(others, seed=seed, resamples=resamples),
            f"{name}_people_line": mean_interval(
                people, seed=seed, same_units=True, resamples=resamples
            ),
        }
    return figures
