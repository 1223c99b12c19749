"""A model in ONNX form: it reads and restyles photos in onnxruntime, without torch.

Legend of shape suffixes: L row, D style width.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from PIL import Image

from dualstylegan.errors import CheckpointError, SettingsError
from dualstylegan.graphs.inference import ExportedNetworks
from dualstylegan.graphs.manifest import WEIGHTS_FILE, Manifest, read_manifest
from dualstylegan.io.arrays import Floats, resize_array
from dualstylegan.io.checkpoints import read_arrays
from dualstylegan.io.files import sha256_file
from dualstylegan.networks.config import FileRecord
from dualstylegan.portrait.card_file import read_card, read_card_images
from dualstylegan.portrait.config import (
    STYLES_FILE,
    PortraitConfig,
    read_config,
    read_thumbnails,
)
from dualstylegan.portrait.face_weights import find_weights
from dualstylegan.portrait.model import PortraitModel
from dualstylegan.portrait.sitter import FaceFit
from dualstylegan.portrait.sizes import render_size
from dualstylegan.portrait.styles import StyleLibrary

if TYPE_CHECKING:
    from dualstylegan.faces.frame import Array

EXPORT_ANEW = "export the model anew"
TAKE_FOLDER = "load the model folder that it was exported from, with torch"


class OnnxNetworks:
    """`PortraitNetworks` of an exported folder.

    Args:
        folder: the exported folder.
        manifest: its onnx.json.
        config: its config.json.
    """

    def __init__(self, folder: Path, manifest: Manifest, config: PortraitConfig) -> None:
        self._folder, self._manifest, self._config = folder, manifest, config
        self._graphs = ExportedNetworks(folder, manifest)

    @property
    def rows(self) -> int:
        return self._config.network.generator.rows

    @property
    def structure_rows(self) -> int:
        return self._manifest.structure_rows

    @property
    def sizes(self) -> Sequence[int]:
        return sorted(self._manifest.dualstylegan)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of graphs, weights and settings; CheckpointError where a file has changed."""
        digests = {
            name: _checked_digest(self._folder / name, record)
            for name, record in self._manifest.files.items()
            if _computes(name)
        }
        defaults = self._config.defaults.model_dump(exclude={"structure", "color", "truncation"})
        parts = json.dumps([digests, defaults], sort_keys=True)
        return hashlib.sha256(parts.encode()).hexdigest()

    def fit_steps(self, asked: int | None) -> int:
        if asked:
            raise SettingsError(
                "a model in ONNX form takes no steps of the fit",
                value=asked,
                limit="0: the encoder's code",
                fix=TAKE_FOLDER,
            )
        return 0

    def fit(
        self,
        face: Image.Image,
        steps: int | None,
        frame: Array | None,
        progress: Callable[[int], None] | None,
    ) -> FaceFit:
        taken, defaults = self.fit_steps(steps), self._config.defaults
        code_LD = self._graphs.encode(face, frame, defaults.fit_passes)
        likeness = self._graphs.likeness(face, frame, code_LD)
        return FaceFit(code_LD, taken, likeness, defaults.fit_likeness_line)

    def map(self, code_LD: Floats) -> Floats:
        return self._graphs.map(code_LD)

    def render(
        self,
        face_LD: Floats,
        style_LD: Floats,
        weights: Sequence[float],
        *,
        truncation: float,
        size: int,
    ) -> Floats:
        side = render_size(self.sizes, size)
        image_CHW = self._graphs.render(face_LD, style_LD, weights, truncation, side)
        return resize_array(image_CHW, size).clip(-1, 1)


class ExportedModel(PortraitModel):
    """A portrait model in ONNX form: `read`, `restyle` and `transfer` without torch.

    Its styles' codes are numpy arrays. What needs torch (steps of the fit, `add_style`, tensors,
    videos) is refused.

    Args:
        folder: a folder that `export-onnx` wrote.
        device: "auto" or "cpu".
        weights_dir: face detector and landmark model, for a folder that has none of its own.

    Raises:
        CheckpointError: a file is missing, of another length, or does not fit its schema.
        SettingsError: another device.
    """

    def __init__(
        self, folder: Path, device: str = "cpu", weights_dir: Path | str | None = None
    ) -> None:
        if device not in ("auto", "cpu"):
            raise SettingsError(
                "a model in ONNX form computes on the CPU", value=device, fix=TAKE_FOLDER
            )
        manifest = read_manifest(folder)
        _check_files(folder, manifest)
        self.config = read_config(folder)
        codes, _ = read_arrays(folder / STYLES_FILE)
        tables: tuple[Any, Any] = codes["extrinsic"], codes["intrinsic"]
        self.styles = StyleLibrary(self.config.styles, *tables, self.config.labels)
        self.styles.check_shape(
            self.config.network.generator.rows, self.config.network.generator.style_dim
        )
        self.sampler = None
        self.card = read_card(folder)
        self.card_images = read_card_images(folder)
        self.thumbnails = read_thumbnails(folder, self.config.styles)
        self.weights_dir = find_weights(folder, weights_dir)
        self.networks = OnnxNetworks(folder, manifest, self.config)

    def __getattr__(self, name: str) -> NoReturn:
        """Refuse what only a model with torch's networks has."""
        if name in ("network", "encoder", "_torch"):
            raise SettingsError("a model in ONNX form has no networks of torch", fix=TAKE_FOLDER)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def _computes(name: str) -> bool:
    """Return True for a graph of the model, or the weights, which its digest covers."""
    return (name.endswith(".onnx") and "/" not in name) or name == WEIGHTS_FILE


def _checked_digest(path: Path, record: FileRecord) -> str:
    """Return the SHA-256 of a file.

    Raises:
        CheckpointError: it is not that which onnx.json states.
    """
    found = sha256_file(path)
    if found != record.sha256:
        raise CheckpointError(
            "other bytes than onnx.json states",
            file=path,
            value=found,
            limit=record.sha256,
            fix=EXPORT_ANEW,
        )
    return found


def _check_files(folder: Path, manifest: Manifest) -> None:
    """Refuse a folder that lacks a file, holds one of another length, or other bytes.

    Graphs and weights are read when their digest is asked for, before the first photo.
    """
    for name, record in manifest.files.items():
        path = folder / name
        length = path.stat().st_size if path.is_file() else None
        if length != record.length:
            raise CheckpointError(
                "no such file" if length is None else "a truncated or changed file",
                file=path,
                value=None if length is None else f"{length} bytes",
                limit=None if length is None else f"{record.length} bytes",
                fix=EXPORT_ANEW,
            )
        if not _computes(name):
            _checked_digest(path, record)
