"""Networks of the published layout with random weights, the same for both sides, and pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.measure import Work
from benchmarks.reference import published_formulation
from dualstylegan.networks.precision import set_compute_dtype

STYLE_DIM = 512


def built(build: Callable[[], nn.Module], dtype: torch.dtype = torch.float32) -> Any:
    """A frozen network, always of the same weights, its convolutions in `dtype`."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build().eval().requires_grad_(False)
    return set_compute_dtype(network, dtype)


def normal(*shape: int) -> Tensor:
    """Standard normal numbers, always the same."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def pictures(count: int, size: int) -> Tensor:
    """Smooth pictures in [-1, 1], always the same."""
    coarse = normal(count, 3, size // 16, size // 16)
    return torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic").clamp(-1, 1)


def plain(work: Work) -> Work:
    """The work in the published formulation."""

    def run() -> object:
        with published_formulation():
            return work()

    return run
