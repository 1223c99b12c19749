"""The published layouts: which network a state dict belongs to, how wide it is, what it must hold.

Sizes and widths are read off the shapes; the expected keys, shapes and types are those of our own
modules, which carry the published names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from dualstylegan.errors import CheckpointError, DataError
from dualstylegan.networks.config import GeneratorConfig, NetworkConfig
from dualstylegan.networks.discriminator import Discriminator
from dualstylegan.networks.ir_se50 import IRSE50
from dualstylegan.networks.psp import GradualStyleEncoder
from dualstylegan.networks.stylegan2 import channels_at
from dualstylegan.networks.vgg19 import VGG19

# Files of an imported folder.
GENERATOR_FILE = "stylegan2.safetensors"
ADAPTED_FILE = "adapted.safetensors"
DISCRIMINATOR_FILE = "discriminator.safetensors"
ENCODER_FILE = "encoder.safetensors"
ENCODER_W_PLUS_FILE = "encoder_wplus.safetensors"
IDENTITY_FILE = "identity.safetensors"
VGG19_FILE = "vgg19.safetensors"
STYLES_FILE = "styles.safetensors"
FOLDER = "published"
MANIFEST = "published/manifest.json"

State = dict[str, Tensor]
# Our own addition to a generator's state: the mean of W, which the published files leave out.
OWN_KEYS = ("mean_w", "generator.mean_w")
# torchvision's VGG19 goes on past relu5_1; these are known, kept and not used.
VGG19_UNUSED = re.compile(r"(features\.(30|32|34)|classifier\.(0|3|6))\.(weight|bias)")


def is_state(value: Any) -> bool:
    """A dictionary of nothing but named tensors."""
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in value.items())
    )


def kind_of_state(state: State) -> str | None:
    """Which published network a plain state dict belongs to; None when to none."""
    marks = (
        ("dualstylegan", "res.0.conv.0.weight"),
        ("stylegan2", "to_rgb1.conv.weight"),
        ("discriminator", "final_linear.1.weight"),
        ("psp", "latlayer1.weight"),
        ("ir_se50", "output_layer.3.weight"),
        ("vgg19", "features.28.weight"),
    )
    return next((kind for kind, key in marks if key in state), None)


def _shape(state: State, key: str, ndim: int, file: Path) -> torch.Size:
    """Shape of a tensor that the width is read off."""
    if key not in state or state[key].ndim != ndim:
        raise CheckpointError(
            "not a published network", file=file, value=f"missing or misshapen: {key}"
        )
    return state[key].shape


def _count(state: State, pattern: str) -> int:
    return sum(re.fullmatch(pattern, key) is not None for key in state)


def _published_widths(channels: list[int]) -> int | None:
    """The channel multiplier that gives these widths, if one does."""
    for multiplier in (2, 1, 4):
        if channels == [channels_at(4 * 2**i, multiplier) for i in range(len(channels))]:
            return multiplier
    return None


def generator_config(state: State, file: Path) -> GeneratorConfig:
    """Size and widths of a StyleGAN2 generator.

    Raises:
        CheckpointError: no StyleGAN2 that we build has such shapes.
    """
    blocks = _count(state, r"convs\.\d+\.conv\.weight") // 2
    channels = [_shape(state, "conv1.conv.weight", 5, file)[1]]
    channels += [_shape(state, f"convs.{2 * i}.conv.weight", 5, file)[1] for i in range(blocks)]
    multiplier = _published_widths(channels)
    try:
        return GeneratorConfig(
            kind="stylegan2",
            resolution=4 * 2**blocks,
            style_dim=_shape(state, "style.1.weight", 2, file)[1],
            mapping_layers=_count(state, r"style\.\d+\.weight"),
            channel_multiplier=multiplier or 2,
            channels=None if multiplier else tuple(channels),
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise CheckpointError(
            "a generator of a size that is not supported",
            file=file,
            value=f"{first['loc'][0]} {first['input']}",
            limit=first["msg"],
        ) from error


def network_config(state: State, file: Path) -> NetworkConfig:
    """Size and widths of a DualStyleGAN."""
    prefix = "generator."
    generator = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    hidden, channels = _shape(state, "res.0.conv.0.weight", 4, file)[:2]
    return NetworkConfig(
        generator=generator_config(generator, file),
        res_channels=channels,
        res_hidden=None if hidden == channels else hidden,
    )


def discriminator_of(state: State, file: Path) -> Discriminator:
    """An unfilled discriminator of the size and widths of a state."""
    blocks = _count(state, r"convs\.\d+\.conv1\.0\.weight")
    widths = [_shape(state, "convs.0.0.weight", 4, file)[0]]
    for i in range(1, blocks + 1):
        widths.append(_shape(state, f"convs.{i}.conv2.1.weight", 4, file)[0])
    return Discriminator(4 * 2**blocks, channels=widths[::-1])


def _encoder(state: State, file: Path) -> nn.Module:
    width = _shape(state, "latlayer1.weight", 4, file)[0]
    return GradualStyleEncoder(_count(state, r"styles\.\d+\.linear\.weight"), width)


BUILDERS: dict[str, Callable[[State, Path], nn.Module]] = {
    "dualstylegan": lambda state, file: network_config(state, file).build(),
    "stylegan2": lambda state, file: generator_config(state, file).build(),
    "discriminator": discriminator_of,
    "psp": _encoder,
    "ir_se50": lambda state, file: IRSE50(),
    "vgg19": lambda state, file: VGG19(),
}


def expected_state(kind: str, state: State, file: Path) -> State:
    """Keys, shapes and types that a published state dict of this kind and size has.

    Raises:
        CheckpointError: no network of the kind has such a size.
    """
    try:
        with torch.device("meta"):
            expected = BUILDERS[kind](state, file).state_dict()
    except CheckpointError:
        raise
    except (DataError, IndexError, RuntimeError) as error:
        raise CheckpointError(f"not a {kind} that can be built", file=file, value=error) from error
    return {k: v for k, v in expected.items() if k not in OWN_KEYS}


def check_state(kind: str, state: State, file: Path, where: str = "") -> State:
    """Account for every key of a published state dict; returns the part our network holds.

    Raises:
        CheckpointError: lists every missing, unexpected, misshapen and non-finite key.
    """
    unused = {k for k in state if kind == "vgg19" and VGG19_UNUSED.fullmatch(k)}
    used = {k: v for k, v in state.items() if k not in unused}
    expected = expected_state(kind, used, file)
    both = [k for k in expected if k in used]
    faults = {
        "missing": [k for k in expected if k not in used],
        "unexpected": [k for k in used if k not in expected],
        "misshapen": [
            f"{k} {tuple(used[k].shape)} for {tuple(expected[k].shape)}"
            for k in both
            if used[k].shape != expected[k].shape
        ],
        "of another type": [
            f"{k} {used[k].dtype} for {expected[k].dtype}"
            for k in both
            if used[k].dtype != expected[k].dtype
        ],
        "not finite": [k for k in both if not bool(used[k].isfinite().all())],
    }
    listed = [f"{fault}: {', '.join(keys)}" for fault, keys in faults.items() if keys]
    if listed:
        raise CheckpointError(
            f"not the published layout of {kind}",
            file=file,
            value=f"{where}: {'; '.join(listed)}" if where else "; ".join(listed),
            limit=f"{len(expected)} tensors",
            fix="import the file as it was published",
        )
    return used
