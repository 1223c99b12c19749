"""Keys and shapes of our modules are those of the published state dicts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from dualstylegan.errors import CheckpointError
from dualstylegan.networks.vgg19 import VGG19
from dualstylegan.published.layout import State, check_state, expected_state, kind_of_state

KEYS = Path(__file__).parents[2] / "golden" / "published_keys.txt"
KINDS = {
    "DualStyleGAN": "dualstylegan",
    "Discriminator": "discriminator",
    "StyleGAN2": "stylegan2",
    "GradualStyleEncoder(50,ir_se)": "psp",
    "IR-SE50": "ir_se50",
}


Layout = dict[str, tuple[tuple[int, ...], str]]


def published_layouts() -> dict[str, Layout]:
    layouts: dict[str, Layout] = {}
    for section in KEYS.read_text().split("### ")[1:]:
        head, *lines = section.strip().splitlines()
        title = head.split(":")[0]
        rows = [line.split("\t") for line in lines if line.strip()]
        layouts[title] = {
            name: (tuple(map(int, re.findall(r"\d+", shape))), kind) for name, shape, kind in rows
        }
    return layouts


LAYOUTS = published_layouts()


def unfilled(layout: Layout) -> State:
    """Return a state dict of the layout's shapes on the meta device."""
    state = {}
    for name, (shape, _) in layout.items():
        dtype = torch.int64 if name.endswith("num_batches_tracked") else torch.float32
        state[name] = torch.empty(shape, dtype=dtype, device="meta")
    return state


@pytest.mark.parametrize("title", LAYOUTS)
def test_keys_and_shapes_are_the_published_ones(title: str) -> None:
    state = unfilled(LAYOUTS[title])
    kind = kind_of_state(state)
    assert kind == KINDS[title.split(" ")[0]]
    ours = expected_state(kind, state, Path("generator.pt"))
    assert {k: tuple(v.shape) for k, v in ours.items()} == {
        k: tuple(v.shape) for k, v in state.items()
    }
    assert {k: v.dtype for k, v in ours.items()} == {k: v.dtype for k, v in state.items()}


def test_every_kind_of_published_file_is_listed() -> None:
    assert len(LAYOUTS) == 13
    assert sum(len(layout) for layout in LAYOUTS.values()) > 2000


def vgg19_file() -> State:
    """Return the keys of torchvision's vgg19 file; unused tensors are small."""
    state = VGG19().state_dict()
    for index in (30, 32, 34):
        state[f"features.{index}.weight"] = torch.zeros(512, 512, 3, 3)
        state[f"features.{index}.bias"] = torch.zeros(512)
    for index in (0, 3, 6):
        state[f"classifier.{index}.weight"] = torch.zeros(1, 1)
        state[f"classifier.{index}.bias"] = torch.zeros(1)
    return state


def test_torchvisions_vgg19_loads_by_key() -> None:
    state = vgg19_file()
    used = check_state("vgg19", state, Path("vgg19.pth"))
    assert set(used) == set(VGG19().state_dict())
    assert len(used) == 26
    with pytest.raises(CheckpointError, match=r"unexpected: features\.36\.weight"):
        check_state("vgg19", {**state, "features.36.weight": torch.zeros(1)}, Path("vgg19.pth"))


def test_every_fault_is_listed() -> None:
    state = VGG19().state_dict()
    first, *others = sorted(state)
    for key in others[:3]:
        del state[key]
    state["features.5.weight"] = torch.zeros(1, 2)
    state["features.7.weight"] = state["features.7.weight"].double()
    state["features.28.weight"][0, 0, 0, 0] = float("nan")
    state["head.a"] = state["head.b"] = torch.zeros(1)
    with pytest.raises(CheckpointError) as caught:
        check_state("vgg19", state, Path("vgg19.pth"))
    message = str(caught.value)
    for key in others[:3]:
        assert key in message
    assert "unexpected: head.a, head.b" in message
    assert "misshapen: features.5.weight (1, 2)" in message
    assert "of another type: features.7.weight torch.float64" in message
    assert "not finite: features.28.weight" in message
    assert first not in message
