"""Stand-ins for the measuring networks, small enough for tests, and images to measure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dualstylegan.evaluation.bootstrap import Array
from dualstylegan.evaluation.extractor import FeatureExtractor
from dualstylegan.evaluation.plan import EvaluationPlan
from dualstylegan.faces.geometry import MOUTH_CORNERS
from tests.support.made_up_landmarks import made_up_landmarks

PLAN = EvaluationPlan(
    size=32,
    measure_size=16,
    batch=3,
    resamples=50,
    diversity_pairs=4,
    natural_faces=5,
    painted_pairs=5,
    bfloat16=False,
)


class Features:
    """Stand-in for LPIPS: fixed random convolutions."""

    def __init__(self) -> None:
        rng = torch.Generator().manual_seed(0)
        self.kernels = [torch.randn(6, 3, 3, 3, generator=rng) for _ in range(5)]

    def features(self, x: Tensor) -> list[Tensor]:
        return [torch.nn.functional.conv2d(x, k).relu() for k in self.kernels]

    def distance(self, a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
        return sum((x - y).square().mean((1, 2, 3)) for x, y in zip(a, b, strict=True))  # type: ignore[return-value]


def extractor(plan: EvaluationPlan = PLAN) -> FeatureExtractor:
    """Return a feature extractor of stand-in networks."""
    return FeatureExtractor(
        Features(),
        descriptor,
        mean_colour,
        landmarks_of,
        plan.measure_size,
        plan.batch,
        torch.device("cpu"),
    )


def descriptor(x: Tensor) -> Tensor:
    """Stand-in for FaceNet: direction of the mean colours (N, 3)."""
    return torch.nn.functional.normalize(mean_colour(x))


def mean_colour(x: Tensor) -> Tensor:
    """Stand-in for dlib's network: mean colours (N, 3)."""
    return x.mean((2, 3))


def landmarks_of(image: Tensor) -> Array:
    """Stand-in for the landmark model: a face that stretches and smiles by the mean colour."""
    wide, high, open_ = (image.float().mean((1, 2)) / 255).tolist()
    landmarks = made_up_landmarks(1 + wide, 1 + high, open_)
    landmarks[list(MOUTH_CORNERS), 1] -= 20 * open_
    return landmarks * image.shape[-1] / 256


def faces(count: int, seed: int) -> list[tuple[str, Image.Image]]:
    """Return `count` images of random colours, by name."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 255, (count, 4, 4, 3), dtype=np.uint8)
    return [(f"face-{i}", Image.fromarray(p).resize((64, 64))) for i, p in enumerate(pixels)]
