"""Precision of the networks: the dtype of their convolutions, chosen and set in one place.

Networks with an attribute `compute_dtype` compute their feature maps in it; codes, images, weights,
statistics and losses stay in float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def dtype_of(bfloat16: bool) -> torch.dtype:
    """Return bfloat16 where a setting asks for it, else float32."""
    return torch.bfloat16 if bfloat16 else torch.float32


def set_compute_dtype(network: Network, dtype: torch.dtype) -> Network:
    """Set the dtype of the feature maps of a network and of the networks inside; return it."""
    for module in _with_dtype(network):
        module.compute_dtype = dtype
    return network


@contextmanager
def compute_dtype(network: nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """Set the dtype of a network's feature maps within a block."""
    before = [(module, module.compute_dtype) for module in _with_dtype(network)]
    set_compute_dtype(network, dtype)
    try:
        yield
    finally:
        for module, dtype_before in before:
            module.compute_dtype = dtype_before


def _with_dtype(network: nn.Module) -> list[Any]:
    return [module for module in network.modules() if hasattr(module, "compute_dtype")]
