"""Export of model folders into the published formats."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dualstylegan.errors import CheckpointError
from dualstylegan.io.checkpoints import load_tensors
from dualstylegan.io.files import atomic_directory, atomic_write, read_json
from dualstylegan.networks.config import CONFIG_FILE, MODEL_FILE
from dualstylegan.portrait.config import read_config
from dualstylegan.published.layout import FOLDER, MANIFEST, OWN_KEYS, STYLES_FILE, State
from dualstylegan.published.pickles import Namespace
from dualstylegan.published.trees import thaw


def export_published(model: Path | str, out: Path | str) -> list[Path]:
    """Write a model folder in the published formats.

    An imported folder yields every file that was imported, with the same structure and the same
    bits. A folder trained here on StyleGAN2 yields `generator.pt`, `exstyle_code.npy` and
    `instyle_code.npy`.

    Args:
        model: the model folder.
        out: a new folder for the files; appears whole or not at all.

    Raises:
        CheckpointError: the folder is no such model, lacks tensors, or `out` exists.
    """
    model, out = Path(model), Path(out)
    if os.path.lexists(out):
        raise CheckpointError("the folder exists", file=out, fix="name another")
    imported = (model / MANIFEST).is_file()
    trees = _imported_trees(model) if imported else _trained_trees(model)
    with atomic_directory(out) as folder:
        for name, tree in trees.items():
            _write(folder / name, tree)
    return [out / name for name in trees]


def _imported_trees(model: Path) -> dict[str, Any]:
    """Return the content of every imported file, by file name."""
    try:
        names = [entry["name"] for entry in read_json(model / MANIFEST)["files"]]
    except (KeyError, TypeError) as error:
        raise CheckpointError(
            "not the manifest of an import",
            file=model / MANIFEST,
            fix="import the published files again",
        ) from error
    if not all(map(_is_file_name, names)):
        raise CheckpointError(
            "not the manifest of an import",
            file=model / MANIFEST,
            fix="import the published files again",
        )
    loaded: dict[str, State] = {}

    def tensor(place: Sequence[str]) -> Tensor:
        file, key = place
        if not all(map(_is_file_name, file.split("/"))):
            raise CheckpointError(
                "a tensor outside the model folder",
                file=model,
                value=file,
                fix="import the published files again",
            )
        if file not in loaded:
            loaded[file] = load_tensors(model / file)
        if key not in loaded[file]:
            raise CheckpointError(
                "a tensor is missing",
                file=model / file,
                value=key,
                fix="import the published files again",
            )
        return loaded[file][key]

    return {name: thaw(read_json(model / FOLDER / f"{name}.json"), tensor) for name in names}


def _is_file_name(name: Any) -> bool:
    """Return True for a name that stays in its folder."""
    return isinstance(name, str) and name not in ("", ".", "..") and not set(name) & set("/\\\0")


def _trained_trees(model: Path) -> dict[str, Any]:
    """Return the published files that a model trained here can fill, by file name."""
    config = read_config(model)
    network = config.network
    if network.generator.kind != "stylegan2" or network.res_hidden or network.tone_rank:
        raise CheckpointError(
            "the published layout cannot hold this network",
            file=model / CONFIG_FILE,
            value=network.generator.kind,
            limit="DualStyleGAN on StyleGAN2 with full-width ModRes blocks and without tone",
            fix="export it to ONNX instead: `dualstylegan export-onnx`",
        )
    state = load_tensors(model / MODEL_FILE)
    codes = load_tensors(model / STYLES_FILE)
    trees: dict[str, Any] = {
        "generator.pt": {"g_ema": {k: v for k, v in state.items() if k not in OWN_KEYS}}
    }
    for kind, name in (("extrinsic", "exstyle_code.npy"), ("intrinsic", "instyle_code.npy")):
        rows = codes[kind].unsqueeze(1)
        trees[name] = dict(zip(config.styles, rows, strict=True))
    return trees


def _plain(value: Any, *, arrays: bool) -> Any:
    """Convert namespaces, and tensors if asked, to the types of the published files."""
    if isinstance(value, Namespace):
        return argparse.Namespace(**_plain(value.fields, arrays=arrays))
    if isinstance(value, dict):
        return {key: _plain(item, arrays=arrays) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain(item, arrays=arrays) for item in value)
    return value.numpy() if arrays and isinstance(value, Tensor) else value


def _write(path: Path, tree: Any) -> None:
    """Write one published file: numpy's dictionary of codes, or a torch checkpoint."""
    with atomic_write(path) as handle:
        if path.suffix == ".npy":
            codes = np.array(_plain(tree, arrays=True), dtype=object)
            np.save(handle, codes, allow_pickle=True)
        else:
            torch.save(_plain(tree, arrays=False), handle)
