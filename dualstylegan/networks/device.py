"""Device of the networks: the only place where its name becomes a `torch.device`."""

from __future__ import annotations

import re

import torch

from dualstylegan.errors import SettingsError
from dualstylegan.networks import ranks

DEVICE_NAME = re.compile(r"auto|cpu|cuda(:\d+)?")
DEVICE_FORMS = "auto, cpu, cuda or cuda:N"


def resolve_device(name: str | torch.device) -> torch.device:
    """Return the device of a name, or refuse one that this machine does not have.

    Args:
        name: `auto` (the first GPU if there is one, else the CPU), `cpu`, `cuda` or `cuda:N`. Of
            several ranks on a host, `auto` and `cuda` give each a GPU of its own.

    Raises:
        SettingsError: the name has none of these forms, or there is no such GPU.
    """
    name = str(name)
    if not DEVICE_NAME.fullmatch(name):
        raise SettingsError(
            "unknown device", value=name, limit=DEVICE_FORMS, fix="choose auto, which always works"
        )
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        name = "cuda" if count else "cpu"
    device = torch.device(name)
    if ranks.launched() and name == "cuda":
        device = torch.device("cuda", ranks.local_number())
    if device.type == "cuda" and (device.index or 0) >= count:
        raise SettingsError(
            "no such GPU",
            value=device,
            limit=f"{count} usable by this build of torch ({torch.__version__})",
            fix="choose cpu or auto, or install a torch build with CUDA and its driver",
        )
    return device
