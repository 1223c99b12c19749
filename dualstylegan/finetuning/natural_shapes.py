"""Shapes of natural faces, and what a set of exemplars has beyond them.

Legend of shape suffixes: F natural face, S exemplar, K landmark, 2 x and y as shares of the image's
side, M = 2 K coordinates of a shape, P principal direction.

The shape of an exemplar differs from the mean face's by what its style exaggerates, e, and by what
its own person is like, p. How people differ is known from natural faces, how they and the noise of
landmarks together deviate is

    d_i = p_i + e_i,    p ~ N(0, Sigma),    Sigma = E[p p^T] + sigma^2 I = L L^T.

In the coordinates y = L^-1 d the people of any natural set are white noise: the eigenvalues of
its second moment, (1/S) sum_i y_i y_i^T = U diag(lambda) U^T, stay below the edge of the spectrum
of such a quotient of covariances (Wachter, 1980): with r = tr(E[p p^T] Sigma^-1), a = r / S and
b = r / F,

    edge = ((1 + sqrt(a + b - a b)) / (1 - b))^2.

A direction beyond the edge is the style's, and Wiener's gain is the share of e in it; in all others
d is taken for the person:

    e_i = L U diag(gain) U^T L^-1 d_i,    gain_p = 1 - 1 / lambda_p  if lambda_p > edge, else 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

# Standard deviation of a coordinate of a found landmark, sigma, as a share of the image's side.
LANDMARK_NOISE = 0.01


@dataclass(frozen=True)
class NaturalShapes:
    """Shapes of natural faces.

    Attributes:
        mean_K2: landmarks of the mean face.
        deviation_FK2: deviations of faces from it, as `Exaggeration` takes those of exemplars.
    """

    mean_K2: Tensor
    deviation_FK2: Tensor

    def exaggerations(self, deviation_SK2: Tensor) -> Tensor:
        """Separate what exemplars exaggerate from what their people are like (S, K, 2).

        Args:
            deviation_SK2: deviations of a set's exemplars from the mean face. One that is not
                finite, of an exemplar without landmarks, has no part in the estimate and no
                exaggeration.
        """
        found_S = deviation_SK2.isfinite().all(-1).all(-1)
        exaggeration_SK2 = torch.zeros_like(deviation_SK2)
        if bool(found_S.any()):
            deviation_SM = deviation_SK2[found_S].double().flatten(1)
            separated_SM = self._separate(deviation_SM).to(deviation_SK2)
            exaggeration_SK2[found_S] = separated_SM.view(-1, *deviation_SK2.shape[1:])
        return exaggeration_SK2

    def _separate(self, deviation_SM: Tensor) -> Tensor:
        """Return Wiener's estimate of e (S, M), see the module."""
        people_MM = _second_moment(self.deviation_FK2.double().flatten(1))
        noise_MM = LANDMARK_NOISE**2 * torch.eye(len(people_MM), dtype=people_MM.dtype)
        factor_MM = torch.linalg.cholesky(people_MM + noise_MM)
        rank = float(torch.cholesky_solve(people_MM, factor_MM).trace())
        white_SM = torch.linalg.solve_triangular(factor_MM, deviation_SM.T, upper=False).T
        variance_P, direction_MP = torch.linalg.eigh(_second_moment(white_SM))
        edge = spectral_edge(rank, len(white_SM), len(self.deviation_FK2))
        gain_P = torch.where(variance_P > edge, 1 - 1 / variance_P, 0.0)
        separated_SM: Tensor = (white_SM @ direction_MP * gain_P) @ direction_MP.T @ factor_MM.T
        return separated_SM


def spectral_edge(rank: float, exemplars: int, faces: int) -> float:
    """Return the largest eigenvalue that chance explains, of `rank` directions (Wachter, 1980)."""
    a, b = rank / exemplars, rank / faces
    return ((1 + math.sqrt(a + b - a * b)) / (1 - b)) ** 2


def _second_moment(x_NM: Tensor) -> Tensor:
    """Return the mean of x x^T over rows (M, M)."""
    return x_NM.T @ x_NM / len(x_NM)
