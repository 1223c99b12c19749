"""Targets of stage 3 that no training changes, kept: features of exemplars, identities of faces.

Legend of shape suffixes: N image, L row, D style width, C channel, H height, W width, E identity
width.

Each exemplar is computed by itself: what is kept has the bits of what is computed again, and a run
that resumes has those of one that was never stopped.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# Memory in which features are kept; of further exemplars they are computed in each step.
FEATURE_BYTES = 256 * 2**20

# Tensors of one exemplar, each with a first dimension of 1.
Compute = Callable[[Tensor], list[Tensor]]


class KeptTargets:
    """Tensors of each exemplar, computed when they are first needed and kept within a budget.

    Args:
        compute: from an exemplar's index (1,) to its tensors, in the dtype in which they are kept.
        budget: of all tensors kept, in bytes; 0 keeps none.
    """

    def __init__(self, compute: Compute, budget: int = FEATURE_BYTES) -> None:
        self.compute, self.budget = compute, budget
        self._kept: dict[int, list[Tensor]] = {}

    @torch.no_grad()
    def __call__(self, index_N: Tensor) -> list[Tensor]:
        """Return the tensors of exemplars, each kind stacked along the first dimension."""
        found = {index: self._of(index) for index in sorted(set(index_N.tolist()))}
        columns = zip(*(found[index] for index in index_N.tolist()), strict=True)
        return [torch.cat(column) for column in columns]

    def _of(self, index: int) -> list[Tensor]:
        if index in self._kept:
            return self._kept[index]
        tensors = self.compute(torch.tensor([index]))
        needed = sum(tensor.nbytes for tensor in tensors)
        if needed <= self.budget:
            self.budget -= needed
            self._kept[index] = tensors
        return tensors
