"""Published layouts: kind of network, sizes and expected keys of a state dict.

Sizes and widths come from the shapes; the expected keys, shapes and types are those of our own
modules, which carry the published names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from dualstylegan.codes.sampling import HIDDEN_DIM, NOISE_DIM, row_network
from dualstylegan.errors import CheckpointError
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
MAX_LISTED = 300
# Layers, blocks or heads of a kind: networks are built by their number.
MAX_PARTS = 64
MAX_REASON = 300
NORM_KEYS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
# Positions of the layers with weights in `codes.sampling.row_network`.
SAMPLER_LAYERS = (0, 1, 3, 4, 6)
# Our own addition to a generator's state: the mean of W, which the published files leave out.
OWN_KEYS = ("mean_w", "generator.mean_w")
# torchvision's VGG19 goes on past relu5_1; these are known, kept and not used.
VGG19_UNUSED = re.compile(r"(features\.(30|32|34)|classifier\.(0|3|6))\.(weight|bias)")


def is_state(value: Any) -> bool:
    """Return True for a non-empty dictionary of named tensors and nothing else."""
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in value.items())
    )


def kind_of_state(state: State) -> str | None:
    """Return the published network that a state dict belongs to; None if it is unknown."""
    marks = (
        ("dualstylegan", "res.0.conv.0.weight"),
        ("stylegan2", "to_rgb1.conv.weight"),
        ("discriminator", "final_linear.1.weight"),
        ("psp", "latlayer1.weight"),
        ("ir_se50", "output_layer.3.weight"),
        ("vgg19", "features.28.weight"),
    )
    return next((kind for kind, key in marks if key in state), None)


def is_encoder(state: State) -> bool:
    """Return True for pSp: the encoder alone, or encoder and decoder under prefixes."""
    return kind_of_state(state) == "psp" or any(k.startswith("encoder.") for k in state)


def without_prefix(state: Mapping[str, Tensor]) -> tuple[str, State]:
    """Remove the prefix that wrappers such as DataParallel add to every key.

    Returns:
        The prefix, and the state dict without it.
    """
    prefix, state = "", dict(state)
    while kind_of_state(state) is None and not is_encoder(state):
        heads = {key.partition(".")[0] for key in state if "." in key}
        if len(heads) != 1 or not all("." in key for key in state):
            break
        (head,) = heads
        prefix += f"{head}."
        state = {key.removeprefix(f"{head}."): value for key, value in state.items()}
    return prefix, state


def listed(names: Iterable[str], count: int = MAX_LISTED) -> str:
    """Join names for a message: at most `count`, control characters escaped."""
    names = list(names)
    shown = [
        "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
        for name in names[:count]
    ]
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(shown) + more


def sampler_state(state: Mapping[str, Tensor], file: Path, part: str) -> dict[str, str]:
    """Match a network of a published sampler to ours, by the shapes and order of its layers.

    Linear, batch norm, ReLU, linear, batch norm, ReLU, linear; no linear layer has a bias.

    Args:
        state: tensors of one network, in the order of its layers.
        file: the file, for errors.
        part: name of the network in the file, for errors.

    Returns:
        Key in `codes.sampling.row_network` to key in the file.

    Raises:
        CheckpointError: the layers are others, or their tensors are misshapen or not finite.
    """
    layers: dict[str, dict[str, str]] = {}
    for key in state:
        layer, _, name = key.rpartition(".")
        layers.setdefault(layer, {})[name] = key
    linear = [names for names in layers.values() if set(names) == {"weight"}]
    norms = [names for names in layers.values() if set(names) == set(NORM_KEYS)]
    width = state[linear[-1]["weight"]].shape[:1] if linear else torch.Size()
    if len(linear) == 3 and len(norms) == 2 == len(layers) - 3 and len(width) == 1:
        with torch.device("meta"):
            expected = row_network(width[0]).state_dict()
        order = (linear[0], norms[0], linear[1], norms[1], linear[2])
        keys = {
            f"{index}.{name}": names[name]
            for index, names in zip(SAMPLER_LAYERS, order, strict=True)
            for name in names
        }
        wrong = [
            f"{key} {tuple(state[key].shape)} for {tuple(expected[ours].shape)}"
            for ours, key in keys.items()
            if state[key].shape != expected[ours].shape
            or state[key].dtype != expected[ours].dtype
            or not bool(state[key].isfinite().all())
        ]
    else:
        keys, wrong = {}, [f"{key} {tuple(tensor.shape)}" for key, tensor in state.items()]
    if wrong:
        raise CheckpointError(
            "not the published layout of a sampler",
            file=file,
            value=f"{part}: {listed(wrong, 20)}",
            limit=f"three linear layers without bias, {NOISE_DIM} to {HIDDEN_DIM} to {HIDDEN_DIM} "
            "to the width of the rows, batch norm after the first two; finite float32",
            fix="give the file as it was published",
        )
    return keys


def _shape(state: State, key: str, ndim: int, file: Path) -> torch.Size:
    """Return the shape of a tensor that tells a width."""
    if key not in state or state[key].ndim != ndim:
        raise CheckpointError(
            "not a published network",
            file=file,
            value=f"missing or misshapen: {key}",
            fix="give the file as it was published",
        )
    return state[key].shape


def _count(state: State, pattern: str) -> int:
    """Return the number of a network's parts, no more of them than any network has."""
    return min(sum(re.fullmatch(pattern, key) is not None for key in state), MAX_PARTS)


def _published_widths(channels: list[int]) -> int | None:
    """Return the channel multiplier that gives these widths; None if there is none."""
    for multiplier in (2, 1, 4):
        if channels == [channels_at(4 * 2**i, multiplier) for i in range(len(channels))]:
            return multiplier
    return None


def generator_config(state: State, file: Path) -> GeneratorConfig:
    """Return size and widths of a StyleGAN2 generator.

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
            fix="give a generator of a size that is supported",
        ) from error


def network_config(state: State, file: Path) -> NetworkConfig:
    """Return size and widths of a DualStyleGAN."""
    prefix = "generator."
    generator = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    hidden, channels = _shape(state, "res.0.conv.0.weight", 4, file)[:2]
    return NetworkConfig(
        generator=generator_config(generator, file),
        res_channels=channels,
        res_hidden=None if hidden == channels else hidden,
    )


def discriminator_of(state: State, file: Path) -> Discriminator:
    """Build a discriminator of the size and widths of a state dict, with initial weights."""
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
    """Return keys, shapes and types of the published state dict of a kind and size.

    Raises:
        CheckpointError: no network of the kind has such a size.
    """
    try:
        with torch.device("meta"):
            expected = BUILDERS[kind](state, file).state_dict()
    except CheckpointError:
        raise
    except (ArithmeticError, IndexError, RuntimeError, TypeError, ValueError) as error:
        # Absurd widths, which fail in many ways: pydantic's, torch's and divisions by zero.
        raise CheckpointError(
            f"not a {kind} that can be built",
            file=file,
            value=str(error)[:MAX_REASON],
            fix="give the file as it was published",
        ) from error
    return {k: v for k, v in expected.items() if k not in OWN_KEYS}


def check_state(kind: str, state: State, file: Path, where: str = "") -> State:
    """Account for every key of a published state dict; return the part that our network holds.

    Raises:
        CheckpointError: lists the missing, unexpected, misshapen and non-finite keys.
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
    lines = [f"{fault}: {listed(keys)}" for fault, keys in faults.items() if keys]
    if lines:
        raise CheckpointError(
            f"not the published layout of {kind}",
            file=file,
            value=f"{where}: {'; '.join(lines)}" if where else "; ".join(lines),
            limit=f"{len(expected)} tensors",
            fix="import the file as it was published",
        )
    return used
