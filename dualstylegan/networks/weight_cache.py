"""Cache of tensors derived from frozen weights: casts, memory layouts, squared norms.

The weights of a generator are cast, laid out for the convolution and squared for demodulation. For
a frozen generator the results are the same in every image; caching them saves up to a ninth of the
rendering time.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary


@dataclass
class _Entry:
    """Tensors derived from one weight.

    Attributes:
        alias: shares the weight's storage, and so reveals that the weight was given another.
        version: the weight's version counter, which every in-place write increments.
        derived: tensors by key.
    """

    alias: Tensor
    version: int
    derived: dict[Hashable, Tensor] = field(default_factory=dict)


_cache = WeakTensorKeyDictionary()


def derived_tensor(weight: Tensor, key: Hashable, compute: Callable[[Tensor], Tensor]) -> Tensor:
    """Return `compute(weight)`, cached if the weight is frozen.

    Args:
        weight: a write to it, or new storage, invalidates all that was derived from it.
        key: distinguishes the tensors derived from one weight.
        compute: function of the weight alone.
    """
    if weight.requires_grad:
        return compute(weight)
    entry: _Entry | None = _cache.get(weight)  # type: ignore[no-untyped-call]
    if entry is None or entry.version != weight._version or not entry.alias.is_set_to(weight):
        entry = _Entry(weight.detach(), weight._version)
        _cache[weight] = entry
    if key not in entry.derived:
        entry.derived[key] = compute(weight)
    return entry.derived[key]


def conv_weight(weight_OIKK: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a convolution's weight in `dtype` and channels-last memory, cached if frozen."""
    return derived_tensor(
        weight_OIKK, dtype, lambda w: w.to(dtype, memory_format=torch.channels_last)
    )
