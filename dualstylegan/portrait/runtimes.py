"""Runtimes of portrait models: torch, or onnxruntime for folders that `export-onnx` wrote."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from dualstylegan.errors import TORCH_FIX, CheckpointError, SettingsError
from dualstylegan.graphs.manifest import is_exported

Runtime = Literal["torch", "onnx"]


def require_torch(need: str) -> None:
    """Refuse what needs torch where there is none.

    Raises:
        SettingsError: says what needs it, and how it is installed.
    """
    if find_spec("torch") is None:
        raise SettingsError(
            f"{need} needs torch, which is not installed",
            fix=f"{TORCH_FIX}; folders of `export-onnx` restyle without it",
        )


def chosen_runtime(folder: Path, asked: Runtime | None) -> Runtime:
    """Return the runtime of a model folder.

    Args:
        folder: of the model.
        asked: the runtime that the caller asks for; None: the folder's.

    Raises:
        CheckpointError: the folder is not of the runtime's form.
        SettingsError: no such runtime, or torch is not installed.
    """
    own: Runtime = "onnx" if is_exported(folder) else "torch"
    if asked not in (None, "torch", "onnx"):
        raise SettingsError(
            "unknown runtime", value=asked, limit="torch or onnx", fix="give one of these"
        )
    if asked == "onnx" and own == "torch":
        raise CheckpointError(
            "not a model in ONNX form", file=folder, fix="`dualstylegan export-onnx` makes one"
        )
    if asked == "torch" and own == "onnx":
        raise CheckpointError(
            "a model in ONNX form, which reads and restyles photos alone",
            file=folder,
            fix="give the model folder that it was exported from",
        )
    if own == "torch":
        require_torch("this model folder")
    return own
