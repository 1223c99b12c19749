"""Measures of face shape: structure taken from the exemplar, pose and expression kept, faces lost.

Legend of shape suffixes: C content face, S exemplar, T exemplar compared with, K landmark, F figure
of pose or expression, V flattened landmarks (2 K).

Images without a plausible face have NaN landmarks. They count in the share of faces lost, and are
left out of all other measures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import numpy as np

from dualstylegan.errors import DataError
from dualstylegan.evaluation.bootstrap import (
    Array,
    Interval,
    difference,
    mean_interval,
    ratio_interval,
)
from dualstylegan.faces.shape import (
    EXPRESSION_UNITS,
    POSE_UNITS,
    expressions,
    poses,
    structures,
)


@dataclass(frozen=True)
class LandmarkTables:
    """Landmarks of C faces, S exemplars and their results.

    Attributes:
        faces_CK2, exemplars_SK2, results_CSK2: in pixels; NaN without a plausible face.
    """

    faces_CK2: Array
    exemplars_SK2: Array
    results_CSK2: Array


def face_missing(landmarks: Array) -> Array:
    """Return 1 for images without a plausible face, else 0; landmarks (..., K, 2)."""
    missing: Array = np.asarray(np.isnan(landmarks).any((-1, -2)), np.float64)
    return missing


def structure_progress(tables: LandmarkTables) -> tuple[Array, Array]:
    """Compute how far results moved from their face towards each exemplar, as (C, S, T) tables.

    With the structures r of a result, f of its face and e of an exemplar, the progress is
    <r - f, e - f> / |e - f|^2: 0 at the face, 1 at the exemplar.

    Returns:
        Numerator <r - f, e - f> and denominator |e - f|^2.
    """
    counts = tables.results_CSK2.shape[:2]
    flat = tables.results_CSK2.reshape(-1, *tables.results_CSK2.shape[2:])
    face_CV = structures(tables.faces_CK2).reshape(counts[0], -1)
    exemplar_TV = structures(tables.exemplars_SK2).reshape(counts[1], -1)
    shift_CSV = structures(flat).reshape(*counts, -1) - face_CV[:, None]
    target_CTV = exemplar_TV[None] - face_CV[:, None]
    over_CST = np.einsum("csv,ctv->cst", shift_CSV, target_CTV)
    under_CT = (target_CTV**2).sum(-1)
    return over_CST, np.broadcast_to(under_CT[:, None], over_CST.shape)


def attribute_changes(
    faces_CF: Array, results_CSF: Array, units_F: Sequence[float], *, typical: bool
) -> tuple[Array, Array, Array]:
    """Compute the change of pose or expression, in mean differences between two faces.

    Args:
        faces_CF, results_CSF: pose or expression of the faces and of the results.
        units_F: mean difference between two faces, per figure.
        typical: subtract the mean change of all faces by an exemplar, which is part of its
            structure (large eyes, for instance).

    Returns:
        Change from the result's own face (C, S), mean change from the other faces (C, S), and
        change from face to face (C, C) with NaN on the diagonal.
    """
    apart_CCF = np.abs(faces_CF[:, None] - faces_CF[None])
    apart_CCF[np.eye(len(faces_CF), dtype=bool)] = np.nan
    # result of face c in style s against face d
    shift_CSDF = results_CSF[:, :, None] - faces_CF[None, None]
    if typical:
        own = np.einsum("cscf->csf", shift_CSDF)
        shift_CSDF = shift_CSDF - _mean_defined(own, 0)[None, :, None]
    change_CSD = np.abs(shift_CSDF / np.asarray(units_F)).mean(-1)
    own_CS = np.einsum("csc->cs", change_CSD)
    others = change_CSD.copy()
    others[np.arange(len(faces_CF)), :, np.arange(len(faces_CF))] = np.nan
    return own_CS, _mean_defined(others, -1), (apart_CCF / np.asarray(units_F)).mean(-1)


def _mean_defined(values: Array, axis: int) -> Array:
    """Mean along an axis without NaN entries; NaN where there are no others."""
    defined = np.isfinite(values)
    count = defined.sum(axis)
    total = np.where(defined, values, 0.0).sum(axis)
    mean: Array = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return mean


def measure_shapes(tables: LandmarkTables, *, seed: int, resamples: int) -> dict[str, Interval]:
    """Measure structure, pose, expression and lost faces, by the names that metrics.json uses.

    A figure for which too few images have landmarks is left out; the share of lost faces remains.

    Args:
        tables: landmarks of faces, exemplars and results.
        seed, resamples: of the bootstrap.
    """
    tables_by_figure = {
        "artefact_rate": tables.results_CSK2,
        "artefact_faces_line": tables.faces_CK2,
        "artefact_exemplars_line": tables.exemplars_SK2,
    }
    figures = {
        name: mean_interval(face_missing(landmarks), seed=seed, resamples=resamples)
        for name, landmarks in tables_by_figure.items()
    }
    return figures | {
        **_structure(tables, seed=seed, resamples=resamples),
        **_content(tables, seed=seed, resamples=resamples),
    }


def _defined(measures: Mapping[str, Callable[[], Interval]]) -> dict[str, Interval]:
    """Compute measures by name, without those that no image defines."""
    figures = {}
    for name, compute in measures.items():
        with suppress(DataError):
            figures[name] = compute()
    return figures


def _structure(tables: LandmarkTables, *, seed: int, resamples: int) -> dict[str, Interval]:
    over_CST, under_CST = structure_progress(tables)
    own = np.arange(over_CST.shape[1])
    missing = ~(np.isfinite(over_CST) & np.isfinite(under_CST))
    over, under = (np.where(missing, 0.0, table) for table in (over_CST, under_CST))
    known = np.where(missing[:, own, own], np.nan, 1.0)

    def ratio(over_CS: Array, under_CS: Array) -> Interval:
        return ratio_interval(over_CS * known, under_CS, seed=seed, resamples=resamples)

    def to_own() -> Interval:
        return ratio(over[:, own, own], under[:, own, own])

    def to_others() -> Interval:
        return ratio(over.sum(2) - over[:, own, own], under.sum(2) - under[:, own, own])

    measured = (~missing[:, own, own]).astype(np.float64)
    return _defined(
        {
            "structure_moved": to_own,
            "structure_moved_other_line": to_others,
            "structure_own": lambda: difference(to_own(), to_others()),
            "structure_measured": lambda: mean_interval(measured, seed=seed, resamples=resamples),
        }
    )


def _content(tables: LandmarkTables, *, seed: int, resamples: int) -> dict[str, Interval]:
    counts = tables.results_CSK2.shape[:2]
    flat = tables.results_CSK2.reshape(-1, *tables.results_CSK2.shape[2:])
    figures: dict[str, Interval] = {}
    for name, of, units_F, typical in (
        ("pose", poses, POSE_UNITS, False),
        ("expression", expressions, EXPRESSION_UNITS, True),
    ):
        results_CSF = of(flat).reshape(*counts, -1)
        own, others, people = attribute_changes(
            of(tables.faces_CK2), results_CSF, units_F, typical=typical
        )
        mean = partial(mean_interval, seed=seed, resamples=resamples)
        figures |= _defined(
            {
                f"{name}_change": partial(mean, own),
                f"{name}_impostor_line": partial(mean, others),
                f"{name}_people_line": partial(mean, people, same_units=True),
            }
        )
    return figures
