"""Small files in the published layouts."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dualstylegan.networks.config import GeneratorConfig, NetworkConfig
from dualstylegan.networks.discriminator import Discriminator
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.psp import PublishedEncoder
from dualstylegan.published.layout import State

SMALL = GeneratorConfig(
    kind="stylegan2", resolution=32, style_dim=16, mapping_layers=3, channels=(8, 8, 8, 8)
)
NETWORK = NetworkConfig(generator=SMALL, res_channels=8)
NAMES = ("Cartoons_00007.jpg", "Cartoons_00001.jpg", "Äpfel 2.png")
ROWS = 8


def state_of(module: nn.Module) -> State:
    return {k: v for k, v in module.state_dict().items() if not k.endswith("mean_w")}


def generator_file(
    path: Path, network: DualStyleGAN | None = None, **extra: object
) -> dict[str, Any]:
    network = network or NETWORK.build()
    discriminator = Discriminator(32, channels=(8, 8, 8, 8))
    content = {
        "g_ema": state_of(network),
        "d": state_of(discriminator),
        "g_optim": torch.optim.Adam(network.parameters()).state_dict(),
        "args": argparse.Namespace(size=32, lr=0.002),
        "ada_aug_p": 0.1,
        **extra,
    }
    torch.save(content, path)
    return content


def codes_file(
    path: Path,
    names: Sequence[str | int] = NAMES,
    rows: int = ROWS,
    width: int = 16,
    seed: int = 0,
) -> dict[str | int, NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    shape = (1, rows, width)
    codes = {name: rng.standard_normal(shape, dtype=np.float32) for name in names}
    np.save(path, codes, allow_pickle=True)  # type: ignore[arg-type]
    return codes


def equal(found: Any, expected: Any) -> bool:
    if isinstance(expected, torch.Tensor | np.ndarray):
        same = type(found) is type(expected) and found.dtype == expected.dtype
        return same and found.shape == expected.shape and bool((found == expected).all())
    if isinstance(expected, argparse.Namespace):
        return isinstance(found, argparse.Namespace) and equal(vars(found), vars(expected))
    if isinstance(expected, dict):
        return list(found) == list(expected) and all(equal(found[k], expected[k]) for k in found)
    return found == expected  # type: ignore[no-any-return]


def stylegan2_state(seed: int = 0) -> State:
    torch.manual_seed(seed)
    return state_of(SMALL.build())


def dualstylegan_state(generator: State) -> State:
    """DualStyleGAN on a given generator."""
    torch.manual_seed(1)
    network = NETWORK.build()
    network.generator.load_state_dict({**generator, "mean_w": network.generator.mean_w})
    return state_of(network)


@cache
def encoder_state() -> State:
    """Encoder into 8 rows of width 16: heads as small as this fit no image, only their layout."""
    torch.manual_seed(2)
    state = PublishedEncoder(ROWS, style_dim=16).state_dict()
    return {k: v for k, v in state.items() if k != "latent_avg"}


def sampler_net(width: int, seed: int) -> nn.ModuleDict:
    """One network of sampler.pt, trained a little, as its authors name the layers."""
    torch.manual_seed(seed)
    layers = {
        "lin1": nn.Linear(128, 128, bias=False),
        "bn1": nn.BatchNorm1d(128),
        "lin2": nn.Linear(128, 128, bias=False),
        "bn2": nn.BatchNorm1d(128),
        "lin_out": nn.Linear(128, width, bias=False),
    }
    net = nn.ModuleDict(layers)
    for _ in range(3):
        sample(net, 2 * torch.randn(16, 128) + 1)
    return net.eval()


def sample(net: nn.ModuleDict, noise: Tensor) -> Tensor:
    """Two layers of linear, batch norm and ReLU, and a linear one."""
    for layer in ("1", "2"):
        noise = torch.relu(net[f"bn{layer}"](net[f"lin{layer}"](noise)))
    return net["lin_out"](noise)  # type: ignore[no-any-return]


def sampler_file(path: Path, rows: int = ROWS, width: int = 16) -> dict[str, nn.ModuleDict]:
    """Write sampler.pt; return its two networks."""
    nets = {"color": sampler_net((rows - 7) * width, 3), "structure": sampler_net(7 * width, 4)}
    torch.save({part: net.state_dict() for part, net in nets.items()}, path)
    return nets
