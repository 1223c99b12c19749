"""Description of an exported model for the page of a site: graphs, codes, names, defaults.

Legend of shape suffixes: S style, L row, D style width.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save

from dualstylegan.errors import CheckpointError
from dualstylegan.faces.detect import DETECTOR_FILE
from dualstylegan.graphs.manifest import WEIGHTS_FILE, GraphRecord, Manifest
from dualstylegan.graphs.sessions import Graph
from dualstylegan.io.arrays import Floats
from dualstylegan.portrait.config import (
    STYLES_FILE,
    THUMBNAILS,
    PortraitConfig,
    read_config,
    thumbnail_file,
)
from dualstylegan.portrait.face_weights import FOLDER, PACKED_FILE

# Folder of the model in the site, and ending of its packed files, which no server takes for an
# encoding of its own.
MODEL, PACKED = "model", ".packed"
EXTRINSIC, MAPPED = "extrinsic", "mapped"
# Side of the picture of means by which the page sees whether a graphics processor is right.
CHECK_PX = 8


def packed_file(file: str) -> str:
    """Return the path in the site of a file of an export."""
    return f"{MODEL}/{Path(file).name}{PACKED}"


def needed_graphs(manifest: Manifest) -> dict[str, GraphRecord]:
    """Return the graphs that the page runs, by the names that it knows them by.

    G renders g's faces as well, with all row weights 0; g's own graphs are needed at sizes at which
    G was not exported.
    """
    graphs = {"encoder": manifest.encoder, "mapping": manifest.mapping}
    graphs |= {f"render-{px}": record for px, record in manifest.dualstylegan.items()}
    graphs |= {f"recognition-{px}": record for px, record in manifest.recognition.items()}
    for px in {manifest.likeness_px, manifest.pass_px} - {None, *manifest.dualstylegan}:
        assert px is not None
        graphs[f"face-{px}"] = manifest.generator[px]
    return graphs


def model_contents(folder: Path, manifest: Manifest) -> dict[str, bytes]:
    """Return the contents of a model's packed files, by their paths in the site.

    Raises:
        CheckpointError: the export lacks what the site needs, or its weights are too large.
    """
    fix = "give the model folder itself, or export it with --half"
    if manifest.weights != "float16":
        raise CheckpointError(
            "the export's weights are too large for a site",
            file=folder,
            value=manifest.weights,
            limit="float16",
            fix=fix,
        )
    graphs = needed_graphs(manifest).values()
    names = [record.file for record in graphs] + [f"{FOLDER}/{DETECTOR_FILE}"]
    if any(record.shares_weights for record in graphs) and WEIGHTS_FILE in manifest.files:
        names.append(WEIGHTS_FILE)
    contents = {packed_file(STYLES_FILE): save({MAPPED: _mapped(folder, manifest)})}
    for name in [*names, f"{FOLDER}/{PACKED_FILE}"]:
        if not (folder / name).is_file():
            raise CheckpointError("the export lacks a file", file=folder, value=name, fix=fix)
        contents[packed_file(name)] = (folder / name).read_bytes()
    return contents


def _mapped(folder: Path, manifest: Manifest, count: int | None = None) -> Floats:
    """Return the styles' codes in W+ (S, L, D), all or the first ones."""
    mapping = Graph(folder, manifest.mapping)
    extrinsic_SLD = load_file(folder / STYLES_FILE)[EXTRINSIC][:count]
    return np.stack([mapping(code=code_LD[None])[0] for code_LD in extrinsic_SLD])


def _check_record(folder: Path, manifest: Manifest) -> dict[str, Any]:
    """Return means of squares of a picture: the first style's code as face and as style."""
    size = min(manifest.dualstylegan)
    code_1LD = _mapped(folder, manifest, 1)
    inputs = {"face": code_1LD, "style": code_1LD, "truncation": 1.0}
    weights = np.ones(code_1LD.shape[1], np.float32)
    image_CHW = Graph(folder, manifest.dualstylegan[size])(**inputs, weights=weights)[0]
    squares = image_CHW.reshape(3, CHECK_PX, size // CHECK_PX, CHECK_PX, size // CHECK_PX)
    means = squares.mean((2, 4)).astype(float).round(4)
    return {"px": CHECK_PX, "means": means.ravel().tolist()}


def model_record(folder: Path, manifest: Manifest) -> dict[str, Any]:
    """Return what the page knows about the model, for site.json."""
    config = read_config(folder)
    (_, rows, width) = manifest.mapping.inputs["code"].shape
    graphs = {
        name: {"file": packed_file(record.file), "uses_weights": record.shares_weights}
        for name, record in needed_graphs(manifest).items()
    }
    graphs["detector"] = {"file": packed_file(DETECTOR_FILE), "uses_weights": False}
    defaults = config.defaults.model_dump(
        include={"structure", "color", "truncation", "crop_px", "fit_likeness_line"}
    )
    return {
        "name": config.name,
        "digest": manifest.source_digest,
        "rows": rows,
        "width": width,
        "structure_rows": manifest.structure_rows,
        "sizes": sorted(manifest.dualstylegan),
        "face_px": manifest.face_px,
        "pass_px": manifest.pass_px,
        "likeness_px": manifest.likeness_px,
        "encoder_px": config.network.encoder_px,
        "encoder": list(manifest.encoder.inputs),
        "recognition": sorted(manifest.recognition),
        "passes": config.defaults.fit_passes if manifest.pass_px is not None else 1,
        "defaults": defaults,
        "check": _check_record(folder, manifest),
        "names": [_style_record(folder, config, name) for name in config.styles],
        "graphs": graphs,
        "weights": packed_file(WEIGHTS_FILE) if WEIGHTS_FILE in manifest.files else None,
        "styles": packed_file(STYLES_FILE),
        "landmarks": packed_file(PACKED_FILE),
    }


def _style_record(folder: Path, config: PortraitConfig, name: str) -> dict[str, str | None]:
    """Return name, label and thumbnail of a style."""
    file = f"{THUMBNAILS}/{thumbnail_file(name)}"
    thumbnail = f"{MODEL}/{file}" if (folder / file).is_file() else None
    return {"name": name, "label": config.labels.get(name, name), "thumbnail": thumbnail}
