"""Networks of the profile: the embedded ones or an imported folder, placed on a device."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from dualstylegan.errors import SettingsError
from dualstylegan.networks.loading import DISCRIMINATOR_PX, EmbeddedNetworks, NetworkSet
from dualstylegan.networks.precision import dtype_of, set_compute_dtype
from dualstylegan.published.layout import MANIFEST
from dualstylegan.published.networks import ImportedFolder
from tasks.shared.paths import Paths
from tasks.shared.settings import Profile

Module = TypeVar("Module", bound=nn.Module)


def open_networks(profile: Profile) -> NetworkSet:
    """Return the networks of the profile; each is loaded on first use.

    Raises:
        SettingsError: the embedded discriminator does not judge the working size.
    """
    folder = Path(profile.networks)
    if (folder / MANIFEST).is_file():
        return ImportedFolder(folder, Paths.weights)
    if profile.working_size != DISCRIMINATOR_PX:
        raise SettingsError(
            "profile.working_size is not that of the discriminator",
            file=folder,
            value=f"{profile.working_size} px",
            limit=f"{DISCRIMINATOR_PX} px",
            fix=f"set it to {DISCRIMINATOR_PX}; results may be larger (evaluate.size)",
        )
    return EmbeddedNetworks(Paths.weights, folder)


def place(network: Module, profile: Profile, device: str | torch.device) -> Module:
    """Move a network to a device and set its convolutions to the profile's precision."""
    network.to(device)
    return set_compute_dtype(network, dtype_of(profile.bfloat16, device))
