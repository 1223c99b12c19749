"""What is made of frozen weights, kept until they change.

A generator's weights are cast, laid out for convolution and squared for demodulation: of a frozen
one that is the same in every picture, and costs up to a ninth of one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary


@dataclass
class _Kept:
    """What was made of a weight; `seen` is the same memory, and tells where it was written to."""

    seen: Tensor
    version: int
    made: dict[Hashable, Tensor] = field(default_factory=dict)


_kept = WeakTensorKeyDictionary()


def derived_tensor(weight: Tensor, name: Hashable, make: Callable[[Tensor], Tensor]) -> Tensor:
    """`make(weight)`, once for a frozen weight and each time for a trained one.

    Args:
        weight: where it came to lie elsewhere or was written to, all is made anew.
        name: tells apart what is made of one weight.
        make: of the weight alone.
    """
    if weight.requires_grad:
        return make(weight)
    kept: _Kept | None = _kept.get(weight)  # type: ignore[no-untyped-call]
    if kept is None or kept.version != weight._version or not kept.seen.is_set_to(weight):
        kept = _Kept(weight.detach(), weight._version)
        _kept[weight] = kept
    if name not in kept.made:
        kept.made[name] = make(weight)
    return kept.made[name]


def conv_weight(weight_OIKK: Tensor, dtype: torch.dtype) -> Tensor:
    """A convolution's weight in `dtype`, in the order of memory that convolutions work in."""
    return derived_tensor(
        weight_OIKK, dtype, lambda w: w.to(dtype, memory_format=torch.channels_last)
    )
