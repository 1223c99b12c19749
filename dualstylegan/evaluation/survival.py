"""Survival of attributes: how far a face's attributes follow those of the photo through a style.

Legend of shape suffixes: C content face or channel, S exemplar, A attribute, R resample.

A style moves an attribute of all faces and stretches it: painted skin has another lightness, and a
smiling character makes all faces smile. What counts is whether faces keep their order and
distances. The survival of an attribute is the correlation of results and photos over the faces,
within a style, and its mean over styles: 1 if it is kept, 0 if it is lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dualstylegan.evaluation.attributes import NAMES
from dualstylegan.evaluation.bootstrap import Array, Interval, draw_weights, percentile_interval

Known = NDArray[np.bool_]

# Fewest faces between which there is a correlation.
MIN_FACES = 3
# Smallest variance of faces that differ, and of drawn ones as a share of that of all.
ROUNDING, MIN_VARIANCE = 1e-12, 1e-6


@dataclass(frozen=True)
class AttributeTables:
    """Attributes of C photos and of the images made from them; NaN where there are none.

    Attributes:
        photo_CA: of the photos.
        code_CA: of g(code).
        result_CSA: of the results.
    """

    photo_CA: Array
    code_CA: Array
    result_CSA: Array

    def survivals(self, *, seed: int, resamples: int) -> dict[str, Interval]:
        """Return the survival of each attribute in the results, and in g(code) as `_code_line`."""
        bootstrap = {"seed": seed, "resamples": resamples}
        code = survivals(self.photo_CA, self.code_CA[:, None], **bootstrap)
        figures = survivals(self.photo_CA, self.result_CSA, **bootstrap)
        return figures | {f"{name}_code_line": figure for name, figure in code.items()}

    def most_lost(self, attribute: int, count: int) -> list[tuple[int, int]]:
        """Return the pairs of a face and an exemplar, by index, in which an attribute is lost most.

        Args:
            attribute: by index.
            count: number of pairs; fewer are returned if there are no more faces.

        Returns:
            One pair a face, the worst first.
        """
        loss_CS = losses(self.photo_CA[:, attribute], self.result_CSA[..., attribute])
        worst_C = np.where(np.isfinite(loss_CS), loss_CS, -np.inf).argmax(1)
        loss_C = loss_CS[np.arange(len(loss_CS)), worst_C]
        ranked = [int(face) for face in np.argsort(-loss_C) if np.isfinite(loss_C[face])]
        return [(face, int(worst_C[face])) for face in ranked[:count]]


def survivals(
    photo_CA: Array, image_CSA: Array, *, seed: int, resamples: int
) -> dict[str, Interval]:
    """Compute the survival of each attribute that is defined, as `attribute_NAME`.

    Args:
        photo_CA: attributes of the photos.
        image_CSA: attributes of images made from them, S of each photo; NaN entries are left out.
        seed, resamples: of the bootstrap.
    """
    figures = {}
    for index, name in enumerate(NAMES):
        interval = survival(photo_CA[:, index], image_CSA[..., index], seed, resamples)
        if interval is not None:
            figures[f"attribute_{name}"] = interval
    return figures


def survival(photo_C: Array, image_CS: Array, seed: int, resamples: int) -> Interval | None:
    """Compute the mean correlation within a style, with its interval.

    None if no style has MIN_FACES faces that differ.
    """
    photo_CS, known_CS = _known(photo_C, image_CS)
    (first_CS, first_S), (second_CS, second_S) = (
        _centred(values_CS, known_CS) for values_CS in (photo_CS, image_CS)
    )
    defined_S = (known_CS.sum(0) >= MIN_FACES) & (np.minimum(first_S, second_S) > ROUNDING)
    if not defined_S.any():
        return None
    first_CS, second_CS = first_CS[:, defined_S], second_CS[:, defined_S]
    known_CS = known_CS[:, defined_S]
    first_S, second_S = first_S[defined_S], second_S[defined_S]
    faces_RC, styles_RS = draw_weights(known_CS.shape, resamples, seed)

    def correlate(face_RC: Array, style_RS: Array) -> Array:
        count_RS = face_RC @ known_CS.astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean_RS, other_RS = face_RC @ first_CS / count_RS, face_RC @ second_CS / count_RS
            variance_RS = face_RC @ first_CS**2 / count_RS - mean_RS**2
            spread_RS = face_RC @ second_CS**2 / count_RS - other_RS**2
            product_RS = face_RC @ (first_CS * second_CS) / count_RS - mean_RS * other_RS
            differ_RS = (variance_RS > MIN_VARIANCE * first_S) & (
                spread_RS > MIN_VARIANCE * second_S
            )
            correlation_RS = product_RS / np.sqrt(variance_RS * spread_RS)
            weight_RS = np.where(differ_RS, style_RS * count_RS, 0.0)
            total_R = np.where(differ_RS, correlation_RS * weight_RS, 0.0).sum(1)
            pooled_R: Array = total_R / weight_RS.sum(1)
        return pooled_R

    (value,) = correlate(np.ones((1, len(known_CS))), np.ones((1, known_CS.shape[1])))
    return percentile_interval(float(value), correlate(faces_RC, styles_RS))


def losses(photo_C: Array, image_CS: Array) -> Array:
    """Compute how far images fall behind their photo in an attribute, (C, S).

    In standard deviations over the faces of the style: positive where the photo has more of what
    makes it unlike the other faces than the image has.
    """
    photo_CS, known_CS = _known(photo_C, image_CS)
    scaled = []
    for values_CS in (photo_CS, image_CS):
        centred_CS, variance_S = _centred(values_CS, known_CS)
        scaled.append(centred_CS / np.sqrt(np.maximum(variance_S, ROUNDING)))
    behind_CS = np.sign(scaled[0]) * (scaled[0] - scaled[1])
    return np.where(known_CS, behind_CS, np.nan)


def _known(photo_C: Array, image_CS: Array) -> tuple[Array, Known]:
    """Return the photos' values per style, and which pairs have both values."""
    photo_CS = np.broadcast_to(photo_C[:, None], image_CS.shape)
    return photo_CS, np.isfinite(photo_CS) & np.isfinite(image_CS)


def _centred(values_CS: Array, known_CS: Known) -> tuple[Array, Array]:
    """Return values less their style's mean, 0 where unknown, and the variance (S,) of each."""
    count_S = np.maximum(known_CS.sum(0), 1)
    mean_S = np.where(known_CS, values_CS, 0.0).sum(0) / count_S
    centred_CS = np.where(known_CS, values_CS - mean_S, 0.0)
    return centred_CS, (centred_CS**2).sum(0) / count_S
