"""Kernel distance between two sets of pictures (Binkowski et al., 2018), on VGG16 features.

The published KID uses Inception features. Ours are the means of VGG16's relu5_3 maps, so figures
compare only among themselves; every name that a figure carries says so. Never call it FID.

Legend of shape suffixes: N picture of the first set, M of the second, F feature.
"""

from __future__ import annotations

import numpy as np

from dualstylegan.errors import DataError
from dualstylegan.evaluation.bootstrap import (
    LEVEL,
    RESAMPLES,
    Array,
    Interval,
    draw_weights,
    statistic_interval,
)

FEATURES = "VGG16 relu5_3, mean over the picture"
SPLITS = 100


def polynomial_kernel(x_NF: Array, y_MF: Array) -> Array:
    """Cubic kernel (x.y / F + 1)^3 of KID (section 4), as an (N, M) table."""
    cubed: Array = (x_NF @ y_MF.T / x_NF.shape[1] + 1.0) ** 3
    return cubed


def _within(kernel_NN: Array, weights_N: Array) -> float:
    """Weighted mean of the kernel over pairs of *different* pictures: the unbiased term.

    A picture that was drawn twice is no pair of different pictures, so a resample is not biased
    towards similarity.
    """
    products = np.outer(weights_N, weights_N)
    np.fill_diagonal(products, 0.0)
    count = products.sum()
    return float((products * kernel_NN).sum() / count) if count > 0 else float("nan")


def _between(kernel_NM: Array, weights_N: Array, weights_M: Array) -> float:
    count = weights_N.sum() * weights_M.sum()
    return float(weights_N @ kernel_NM @ weights_M / count) if count > 0 else float("nan")


def _check(x: Array, y: Array) -> None:
    if min(len(x), len(y)) < 2:
        raise DataError(
            "too few pictures for the kernel distance",
            value=f"{len(x)} and {len(y)}",
            limit="at least 2 in each set",
            fix="add portraits",
        )


def kid(x_NF: Array, y_MF: Array) -> float:
    """Unbiased squared kernel distance; zero in expectation for two samples of one thing."""
    _check(x_NF, y_MF)
    ones_N, ones_M = np.ones(len(x_NF)), np.ones(len(y_MF))
    return (
        _within(polynomial_kernel(x_NF, x_NF), ones_N)
        + _within(polynomial_kernel(y_MF, y_MF), ones_M)
        - 2 * _between(polynomial_kernel(x_NF, y_MF), ones_N, ones_M)
    )


def results_against_styles(
    results_NF: Array,
    styles_MF: Array,
    contents: int,
    *,
    seed: int,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Interval:
    """Distance of the results to the style set.

    Args:
        results_NF: N = contents x M, content by content, one result for each exemplar.
        styles_MF: the exemplars, in the same order.
        contents: number of content faces. Faces and exemplars are resampled together with all
            the results that they are in.

    Raises:
        DataError: the sets do not fit, or are too small.
    """
    _check(results_NF, styles_MF)
    if len(results_NF) != contents * len(styles_MF):
        raise DataError(
            "results do not fit the faces and the exemplars",
            value=len(results_NF),
            limit=f"{contents} x {len(styles_MF)}",
        )
    inner = polynomial_kernel(results_NF, results_NF)
    outer = polynomial_kernel(styles_MF, styles_MF)
    cross = polynomial_kernel(results_NF, styles_MF)

    def statistic(faces: Array, exemplars: Array) -> float:
        pairs = np.outer(faces, exemplars).ravel()
        return (
            _within(inner, pairs)
            + _within(outer, exemplars)
            - 2 * _between(cross, pairs, exemplars)
        )

    weights = draw_weights((contents, len(styles_MF)), resamples, seed)
    return statistic_interval(statistic, weights, level=level)


def sets_apart(
    x_NF: Array, y_MF: Array, *, seed: int, resamples: int = RESAMPLES, level: float = LEVEL
) -> Interval:
    """Distance of two independent sets, such as the untouched faces and the style set."""
    _check(x_NF, y_MF)
    inner, outer = polynomial_kernel(x_NF, x_NF), polynomial_kernel(y_MF, y_MF)
    cross = polynomial_kernel(x_NF, y_MF)

    def statistic(first: Array, second: Array) -> float:
        return _within(inner, first) + _within(outer, second) - 2 * _between(cross, first, second)

    weights = draw_weights((len(x_NF), len(y_MF)), resamples, seed)
    return statistic_interval(statistic, weights, level=level)


def half_against_half(
    x_NF: Array, *, seed: int, splits: int = SPLITS, level: float = LEVEL
) -> Interval:
    """Sanity line: one half of a set against the other, over random splits. Around zero.

    Raises:
        DataError: fewer than four pictures.
    """
    if len(x_NF) < 4:
        raise DataError("too few pictures to halve", value=len(x_NF), limit="at least 4")
    draw = np.random.default_rng(seed)
    half = len(x_NF) // 2
    found = []
    for _ in range(splits):
        order = draw.permutation(len(x_NF))
        found.append(kid(x_NF[order[:half]], x_NF[order[half:]]))
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(np.mean(found)), float(low), float(high))
