"""Kernel distance of two sets of images (KID, Binkowski et al., 2018) on VGG16 features.

The published KID uses Inception features. Here the features are means of VGG16's relu5_3 maps, so
values are comparable only with each other, and are labelled with these features wherever they are
shown. They are no FID.

Legend of shape suffixes: N image of the first set, M of the second, F feature.
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

FEATURES = "means of VGG16 relu5_3"
SPLITS = 100


def polynomial_kernel(x_NF: Array, y_MF: Array) -> Array:
    """Compute the cubic kernel (x.y / F + 1)^3 of KID (section 4), as an (N, M) table."""
    cubed: Array = (x_NF @ y_MF.T / x_NF.shape[1] + 1.0) ** 3
    return cubed


def _within(kernel_NN: Array, weights_N: Array) -> float:
    """Weighted mean of the kernel over pairs of *different* images: the unbiased term.

    An image that was drawn twice forms no pair with itself, so resamples are not biased towards
    similarity.
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
            "too few images for the kernel distance",
            value=f"{len(x)} and {len(y)}",
            limit="at least 2 in each set",
            fix="add portraits",
        )


def kid(x_NF: Array, y_MF: Array) -> float:
    """Compute the unbiased squared kernel distance of two sets of features.

    Its expectation is zero for two samples of one distribution.

    Raises:
        DataError: fewer than two images in a set.
    """
    _check(x_NF, y_MF)
    ones_N, ones_M = np.ones(len(x_NF)), np.ones(len(y_MF))
    return (
        _within(polynomial_kernel(x_NF, x_NF), ones_N)
        + _within(polynomial_kernel(y_MF, y_MF), ones_M)
        - 2 * _between(polynomial_kernel(x_NF, y_MF), ones_N, ones_M)
    )


def kid_of_results(
    results_NF: Array,
    exemplars_MF: Array,
    contents: int,
    *,
    seed: int,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Interval:
    """Compute the kernel distance of results to exemplars, with its interval.

    Args:
        results_NF: N = contents x M, face by face, one result per exemplar.
        exemplars_MF: the exemplars, in the same order.
        contents: number of content faces. Faces and exemplars are resampled, each together with
            all results made from it.
        seed, resamples, level: of the bootstrap.

    Raises:
        DataError: the sets do not match, or are too small.
    """
    _check(results_NF, exemplars_MF)
    if len(results_NF) != contents * len(exemplars_MF):
        raise DataError(
            "the number of results does not match the faces and exemplars",
            value=len(results_NF),
            limit=f"{contents} x {len(exemplars_MF)}",
            fix="give a result for each face in each exemplar's style",
        )
    inner = polynomial_kernel(results_NF, results_NF)
    outer = polynomial_kernel(exemplars_MF, exemplars_MF)
    cross = polynomial_kernel(results_NF, exemplars_MF)

    def statistic(faces: Array, exemplars: Array) -> float:
        pairs = np.outer(faces, exemplars).ravel()
        return (
            _within(inner, pairs)
            + _within(outer, exemplars)
            - 2 * _between(cross, pairs, exemplars)
        )

    weights = draw_weights((contents, len(exemplars_MF)), resamples, seed)
    return statistic_interval(statistic, weights, level=level)


def kid_of_sets(
    x_NF: Array, y_MF: Array, *, seed: int, resamples: int = RESAMPLES, level: float = LEVEL
) -> Interval:
    """Compute the kernel distance of two independent sets, with its interval.

    Raises:
        DataError: fewer than two images in a set.
    """
    _check(x_NF, y_MF)
    inner, outer = polynomial_kernel(x_NF, x_NF), polynomial_kernel(y_MF, y_MF)
    cross = polynomial_kernel(x_NF, y_MF)

    def statistic(first: Array, second: Array) -> float:
        return _within(inner, first) + _within(outer, second) - 2 * _between(cross, first, second)

    weights = draw_weights((len(x_NF), len(y_MF)), resamples, seed)
    return statistic_interval(statistic, weights, level=level)


def kid_of_halves(
    x_NF: Array, *, seed: int, splits: int = SPLITS, level: float = LEVEL
) -> Interval:
    """Compute the kernel distance of two halves of a set over random splits: around zero.

    Raises:
        DataError: fewer than four images.
    """
    if len(x_NF) < 4:
        raise DataError(
            "too few images to split in halves",
            value=len(x_NF),
            limit="at least 4",
            fix="give more images",
        )
    rng = np.random.default_rng(seed)
    half = len(x_NF) // 2
    distances = []
    for _ in range(splits):
        order = rng.permutation(len(x_NF))
        distances.append(kid(x_NF[order[:half]], x_NF[order[half:]]))
    low, high = np.quantile(distances, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(np.mean(distances)), float(low), float(high))
