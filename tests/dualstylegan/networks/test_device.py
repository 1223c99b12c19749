"""Devices: what the machine has is resolved, anything else is refused with the fix."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dualstylegan.errors import SettingsError
from dualstylegan.networks.device import resolve_device
from dualstylegan.portrait.model import PortraitModel
from tasks.shared.runner import prepare
from tasks.shared.settings import Machine
from tests.support.portrait_models import tiny_model

GPUS = torch.cuda.device_count() if torch.cuda.is_available() else 0


def test_devices_of_this_machine_are_resolved() -> None:
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device(torch.device("cpu")) == torch.device("cpu")
    assert resolve_device("auto").type == ("cuda" if GPUS else "cpu")
    for index in range(GPUS):
        assert resolve_device(f"cuda:{index}") == torch.device("cuda", index)


@pytest.mark.parametrize("name", [f"cuda:{GPUS}", *([] if GPUS else ["cuda"])])
def test_a_gpu_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=rf"found: {name}; limit: {GPUS} .*; fix: "):
        resolve_device(name)


@pytest.mark.parametrize("name", ["gpu", "CUDA", "cuda:", "cuda:-1", "mps", "", "meta"])
def test_names_of_no_device_are_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="auto, cpu, cuda or cuda:N"):
        resolve_device(name)


@pytest.mark.skipif(bool(GPUS), reason="this machine has a GPU")
def test_library_and_pipeline_refuse_alike(tmp_path: Path) -> None:
    """A folder without a model is given: the device is refused before it is read."""
    with pytest.raises(SettingsError, match="no such GPU"):
        tiny_model().to("cuda")
    with pytest.raises(SettingsError, match="no such GPU"):
        PortraitModel.from_pretrained(tmp_path, device="cuda")
    with pytest.raises(SettingsError, match="no such GPU"):
        prepare(Machine(device="cuda", threads=1))
