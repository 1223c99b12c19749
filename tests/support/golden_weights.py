"""Weights rebuilt from their names, for tests against the golden vectors.

Each tensor is drawn from a seed and the crc32 of its name, independent of order. The outputs of the
published implementation on them at 64 px are in tests/golden/reference_64.npz.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

REFERENCE = Path(__file__).parents[1] / "golden" / "reference_64.npz"
MAPPINGS = ("style.", "generator.style.")


def normal(name: str, shape: Iterable[int], seed: int = 0) -> NDArray[np.float32]:
    """Draw standard normal numbers that depend on the name and the seed alone."""
    bits = np.random.PCG64([seed, zlib.crc32(name.encode())])
    return np.random.Generator(bits).standard_normal(tuple(shape), dtype=np.float32)


def drawn(name: str, *shape: int, seed: int = 0) -> Tensor:
    """Draw the input `name` of a golden vector."""
    return torch.from_numpy(normal(f"input/{name}", shape, seed))


def value(name: str, old: Tensor, *, normalised: bool, seed: int = 0) -> Tensor:
    """Rebuild one entry of a state dict, scaled by the first rule that its name matches."""
    if name.endswith(("kernel", "num_batches_tracked")):
        return old
    x = normal(name, old.shape, seed)
    if name.endswith("running_var"):
        x = 1 + 0.1 * abs(x)
    elif name.endswith("running_mean"):
        x = 0.1 * x
    elif x.ndim == 1 and name.endswith("weight"):
        x = 0.1 * x if x.size == 1 else 1 + 0.1 * x
    elif name.endswith("modulation.bias"):
        x = 1 + 0.1 * x
    elif name.endswith("bias"):
        x = 0.1 * x
    elif name.startswith(MAPPINGS) and name.endswith("weight"):
        x = 100 * x
    elif ".style.weight" in name:
        x = 0.05 * x
    elif normalised:
        x = x / np.sqrt(x[0].size)
    return torch.from_numpy(np.asarray(x, np.float32))


def rebuild(network: nn.Module, *, normalised: bool = False, seed: int = 0) -> None:
    """Fill a network with rebuilt weights; `normalised` for the encoder and IR-SE50."""
    state = {
        k: value(k, v, normalised=normalised, seed=seed)
        for k, v in network.state_dict().items()
        if not k.endswith("mean_w")
    }
    missing, unexpected = network.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(key.endswith("mean_w") for key in missing)
    network.eval().requires_grad_(False)


def relative_error(found: Tensor, expected: NDArray[np.float32]) -> float:
    """Return the maximum difference over the maximum magnitude of `expected`."""
    assert tuple(found.shape) == expected.shape
    return float(np.abs(found.detach().numpy() - expected).max() / np.abs(expected).max())
