"""Precision of the networks: the dtype of their convolutions, chosen and set in one place.

Networks with an attribute `compute_dtype` compute their feature maps in it; codes, images, weights,
statistics and losses stay in float32.

A processor without instructions for bfloat16 emulates them, a hundred times slower than float32: it
computes in float32 whatever a setting asks for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


@cache
def has_bfloat16(kind: str) -> bool:
    """Return True if devices of a kind (`cpu`, `cuda`) compute convolutions in bfloat16 at speed.

    On CPUs this is oneDNN's own condition: AVX-512 or AMX on x86, BF16 on ARM.
    """
    if kind != "cpu":
        return True
    # not in torch's public interface, which asks the same of each convolution
    asked = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return bool(asked is not None and asked())


def dtype_of(bfloat16: bool, device: torch.device | str = "cpu") -> torch.dtype:
    """Return bfloat16 where a setting asks for it and the device has it, else float32."""
    return torch.bfloat16 if bfloat16 and has_bfloat16(torch.device(device).type) else torch.float32


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
