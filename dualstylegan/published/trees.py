"""Structure of a published file as JSON, with its tensors in safetensors files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from dualstylegan.errors import CheckpointError
from dualstylegan.published.pickles import Namespace

TreePath = tuple[Any, ...]
Place = tuple[str, str]


def freeze(
    tree: Any, places: Mapping[TreePath, Place], rest_file: str
) -> tuple[Any, dict[str, Tensor]]:
    """Convert a tree of plain values and tensors to JSON.

    Args:
        tree: nested dict, list, tuple, `Namespace` and plain values.
        places: path of a tensor in the tree to the file and key that hold it.
        rest_file: file for all other tensors.

    Returns:
        The JSON value, and the tensors for `rest_file`.
    """
    rest: dict[str, Tensor] = {}

    def pairs(value: Mapping[Any, Any], path: TreePath) -> list[list[Any]]:
        return [[key, walk(item, (*path, key))] for key, item in value.items()]

    def walk(value: Any, path: TreePath) -> Any:
        if isinstance(value, Tensor):
            if path in places:
                return {"$tensor": list(places[path])}
            rest[str(len(rest))] = value
            return {"$tensor": [rest_file, str(len(rest) - 1)]}
        if isinstance(value, Namespace):
            return {"$namespace": pairs(value.fields, path)}
        if isinstance(value, dict):
            return {"$dict": pairs(value, path)}
        if isinstance(value, list | tuple):
            items = [walk(item, (*path, i)) for i, item in enumerate(value)]
            return {"$list" if isinstance(value, list) else "$tuple": items}
        return {"$float": value.hex()} if isinstance(value, float) else value

    return walk(tree, ()), rest


def thaw(value: Any, tensor: Callable[[Sequence[str]], Any]) -> Any:
    """Invert `freeze`; `tensor` loads the tensor of (file, key).

    Raises:
        CheckpointError: `freeze` did not make this JSON.
    """
    if not isinstance(value, dict):
        return value
    try:
        ((kind, content),) = value.items()
        if kind == "$tensor":
            file, key = content
            return tensor((file, key))
        if kind == "$float":
            return float.fromhex(content)
        if kind in ("$dict", "$namespace"):
            pairs = {key: thaw(item, tensor) for key, item in content}
            return pairs if kind == "$dict" else Namespace(pairs)
        if kind in ("$list", "$tuple"):
            items = [thaw(item, tensor) for item in content]
            return items if kind == "$list" else tuple(items)
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            "not the structure of a published file",
            value=error,
            fix="import the published files again",
        ) from error
    raise CheckpointError(
        "not the structure of a published file", value=kind, fix="import the published files again"
    )
