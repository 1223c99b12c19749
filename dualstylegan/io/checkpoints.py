"""Weights, arrays and training states on disk: safetensors and JSON, checked on the way in.

A tensor file is written whole or not at all, sealed, and read only when it agrees with its seal and
its keys and shapes are those expected. No pickle is read or written anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import safetensors

from dualstylegan.errors import CheckpointError
from dualstylegan.io.files import READ_FIX, atomic_write
from dualstylegan.io.seals import BLANK, has_seal, is_whole, sealed

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import Tensor, nn

LISTED_KEYS = 8
# What the library itself reads of a head.
MAX_HEAD_BYTES = 100_000_000
# Codes of 6,900 styles at 1,024 px.
MAX_ARRAYS_BYTES = 512 << 20
DAMAGED_FIX = "delete it and run the stage that makes it"
META_KEY, SEAL_KEY, FORMAT_KEY = "json", "seal", "format"


def save_tensors(
    path: Path | str, tensors: Mapping[str, Tensor], meta: Mapping[str, Any] | None = None
) -> None:
    """Write tensors and a JSON value beside them, atomically: same content, same bytes."""
    from safetensors.torch import save

    _write(path, save({k: tensors[k].detach().cpu().contiguous() for k in sorted(tensors)}), meta)


def save_arrays(
    path: Path | str, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any] | None = None
) -> None:
    """Write numpy arrays as `save_tensors` writes tensors: the same bytes."""
    import numpy as np
    from safetensors.numpy import save

    _write(path, save({k: np.ascontiguousarray(arrays[k]) for k in sorted(arrays)}), meta)


def _write(path: Path | str, content: bytes, meta: Mapping[str, Any] | None) -> None:
    """Write the bytes of a safetensors file with a head of our own."""
    data = memoryview(content)
    start = 8 + int.from_bytes(data[:8], "little")
    header = _header(json.loads(bytes(data[8:start])), meta)
    with atomic_write(path) as handle:
        handle.write(sealed(header, data[start:]))
        handle.write(data[start:])


def _header(entries: Mapping[str, Any], meta: Mapping[str, Any] | None) -> bytes:
    """Return the head of a safetensors file, its length and its JSON, with a blank seal.

    The library itself orders metadata by chance.
    """
    about = {FORMAT_KEY: "pt", SEAL_KEY: BLANK}
    if meta:
        about[META_KEY] = json.dumps(meta, sort_keys=True, allow_nan=False)
    text = json.dumps({"__metadata__": about, **entries}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text


def load_tensors(path: Path | str, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """Read every tensor of a safetensors file, floating ones as `dtype` if given.

    Raises:
        CheckpointError: the file is missing, damaged or not safetensors.
    """
    return read_tensors(path, dtype)[0]


def read_tensors(
    path: Path | str, dtype: torch.dtype | None = None, *, foreign: bool = True
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors of a file as `load_tensors` gives them, and the JSON value beside them.

    Args:
        path: of the file.
        dtype: see `load_tensors`.
        foreign: take a file without a seal too, as other programs write it.
    """
    tensors, meta = _read(path, "pt", foreign)
    if dtype is not None:
        tensors = {k: v.to(dtype) if v.is_floating_point() else v for k, v in tensors.items()}
    return tensors, meta


def read_arrays(
    path: Path | str, *, foreign: bool = True
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read a file as `read_tensors` does, its tensors as numpy arrays, without torch.

    Arrays are copies, where tensors are mapped: a larger file than `MAX_ARRAYS_BYTES` is refused.
    """
    length = Path(path).stat().st_size if Path(path).is_file() else 0
    if length > MAX_ARRAYS_BYTES:
        raise CheckpointError(
            "too large a file of arrays",
            file=path,
            value=f"{length} bytes",
            limit=f"{MAX_ARRAYS_BYTES} bytes",
            fix=DAMAGED_FIX,
        )
    return _read(path, "numpy", foreign)


def _read(
    path: Path | str, framework: Literal["pt", "numpy"], foreign: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the tensors of a file as those of a framework, and the JSON value beside them."""
    if not Path(path).is_file():
        raise CheckpointError("no such file", file=path, fix="run the stage that makes it")
    try:
        # Opened first: a file whose length is not that of its tensors is refused unread.
        with safetensors.safe_open(str(path), framework) as file:
            whole = is_whole(path, within=_head_length(path))
            if whole is False or (whole is None and not foreign):
                found = "no seal" if whole is None else "bytes that do not agree with its seal"
                raise CheckpointError(
                    "a damaged safetensors file", file=path, value=found, fix=DAMAGED_FIX
                )
            names = list(file.keys())
            tensors = {name: file.get_tensor(name) for name in names}
            meta = json.loads((file.metadata() or {}).get(META_KEY, "{}"))
    except OSError as error:
        raise CheckpointError(
            "cannot be read", file=path, value=error.strerror or error, fix=READ_FIX
        ) from error
    except (safetensors.SafetensorError, ValueError, RecursionError) as error:
        raise CheckpointError(
            "not a whole safetensors file",
            file=path,
            value=error,
            fix=DAMAGED_FIX,
        ) from error
    return tensors, meta


def lacks_seal(path: Path | str) -> bool:
    """Return True if a safetensors file has no seal in its head, where `save_tensors` writes it."""
    return not has_seal(path, within=_head_length(path))


def _head_length(path: Path | str) -> int:
    """Return the length that a safetensors file states for its head, at most `MAX_HEAD_BYTES`."""
    with open(path, "rb") as handle:
        return min(8 + int.from_bytes(handle.read(8), "little"), MAX_HEAD_BYTES)


def _listed(names: Iterable[str]) -> str:
    names = sorted(names)
    more = f" and {len(names) - LISTED_KEYS} more" if len(names) > LISTED_KEYS else ""
    return ", ".join(names[:LISTED_KEYS]) + more


def check_fit(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], source: Path | str
) -> None:
    """Check that `tensors` have the keys and shapes of `expected`.

    Raises:
        CheckpointError: lists missing, unexpected and misshapen keys.
    """
    found = {
        "missing": expected.keys() - tensors.keys(),
        "unexpected": tensors.keys() - expected.keys(),
        "misshapen": {
            f"{k} {tuple(tensors[k].shape)} for {tuple(expected[k].shape)}"
            for k in expected.keys() & tensors.keys()
            if tensors[k].shape != expected[k].shape
        },
    }
    faults = [f"{kind}: {_listed(names)}" for kind, names in found.items() if names]
    if faults:
        raise CheckpointError(
            "the weights do not fit the network",
            file=source,
            value="; ".join(faults),
            fix="use the weights that belong to this network and size",
        )


def fill(network: nn.Module, tensors: Mapping[str, Tensor], source: Path | str) -> None:
    """Load `tensors` (any floating dtype) as the whole state of `network`.

    Raises:
        CheckpointError: see `check_fit`.
    """
    state = network.state_dict()
    check_fit(tensors, state, source)
    network.load_state_dict({k: v.to(state[k].dtype) for k, v in tensors.items()})


def _flatten(prefix: str, value: Any, tensors: dict[str, Tensor]) -> Any:
    """Move the tensors of a nested state into `tensors`; what stays is JSON."""
    from torch import Tensor

    if isinstance(value, Tensor):
        tensors[prefix] = value
        return {"tensor": prefix}
    if isinstance(value, Mapping):
        items = [[k, _flatten(f"{prefix}/{k}", v, tensors)] for k, v in value.items()]
        return {"items": items}
    if isinstance(value, list | tuple):
        return {"list": [_flatten(f"{prefix}/{i}", v, tensors) for i, v in enumerate(value)]}
    return {"value": value}


def _unflatten(node: Any, tensors: Mapping[str, Tensor]) -> Any:
    if "tensor" in node:
        return tensors[node["tensor"]]
    if "items" in node:
        return {k: _unflatten(v, tensors) for k, v in node["items"]}
    if "list" in node:
        return [_unflatten(v, tensors) for v in node["list"]]
    return node["value"]


def save_state(path: Path | str, state: Mapping[str, Any]) -> None:
    """Write a training state: nested dicts and lists of tensors and plain values, atomically."""
    tensors: dict[str, Tensor] = {}
    tree = _flatten("state", state, tensors)
    save_tensors(path, tensors, {"tree": tree})


def load_state(path: Path | str) -> dict[str, Any]:
    """Read what `save_state` wrote.

    Raises:
        CheckpointError: the file is damaged or is not a training state.
    """
    tensors, meta = read_tensors(path, foreign=False)
    try:
        state: dict[str, Any] = _unflatten(meta["tree"], tensors)
    except (KeyError, TypeError) as error:
        raise CheckpointError(
            "not a training state", file=path, value=error, fix="delete it to start anew"
        ) from error
    return state
