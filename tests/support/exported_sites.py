"""A tiny model that finds real faces, and its static site, exported once for all workers."""

from __future__ import annotations

import fcntl
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from dualstylegan.errors import DownloadError
from dualstylegan.faces.detect import DETECTOR_FILE
from dualstylegan.faces.landmarks import PREDICTOR_FILE
from dualstylegan.networks.config import IDENTITY_FILE
from dualstylegan.portrait.face_weights import PACKED_FILE
from dualstylegan.portrait.half import LEAST_VALUES
from dualstylegan.portrait.model import PortraitModel
from dualstylegan.portrait.onnx_folder import ExportPlan, export_onnx
from dualstylegan.portrait.packed_landmarks import pack_predictor
from dualstylegan.web import exporter, runtime
from tests.support.portrait_models import tiny_model
from tests.support.tracing import exports_untraced

PX, CROP_PX = 64, 128


@dataclass(frozen=True)
class ExportedSite:
    """Site, and what it was made from.

    Attributes:
        model: the model folder.
        onnx: its ONNX export, in half precision.
        site: the site.
    """

    model: Path
    onnx: Path
    site: Path


def packed_faces(shared: Path, weights: Path) -> Path:
    """Return a folder of face models whose landmark model is packed.

    Args:
        shared: a folder that all workers share.
        weights: the pinned weights.
    """
    folder = shared / "packed-faces"
    with (shared / "packed-faces.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / PACKED_FILE).exists():
            folder.mkdir()
            for name in (DETECTOR_FILE, IDENTITY_FILE):
                shutil.copy(weights / name, folder / name)
            pack_predictor(weights / PREDICTOR_FILE, folder / PACKED_FILE)
    return folder


def model_of_passes(faces: Path) -> PortraitModel:
    """Return a tiny model that finds faces and encodes them in three passes, without a fit."""
    model = tiny_model(resolution=PX)
    model.weights_dir = faces
    torch.manual_seed(1)
    # corrections by identity begin at zero: without weights nothing would be compared
    torch.nn.init.normal_(model.encoder.identity.rows.weight, std=0.02)  # type: ignore[union-attr, arg-type]
    changed = {"fit_steps": 0, "fit_passes": 3, "crop_px": CROP_PX}
    defaults = model.config.defaults.model_copy(update=changed)
    model.config = model.config.model_copy(update={"defaults": defaults})
    return model


def halved(model: PortraitModel) -> PortraitModel:
    """Round the weights of a model that an export stores in half precision; return the model."""
    for network in (model.network, model.encoder, model.identity()):
        for tensor in network.state_dict().values():
            if tensor.numel() >= LEAST_VALUES:
                tensor.copy_(tensor.half().float())
    return model


def exported_site(shared: Path, weights: Path) -> ExportedSite:
    """Return a site, made by the first worker that asks.

    Where neither the cache nor npm has the browser's runtime, the test is skipped.

    Args:
        shared: a folder that all workers share.
        weights: the pinned weights.
    """
    made = ExportedSite(*(shared / f"web-{name}" for name in ("model", "onnx", "site")))
    faces = packed_faces(shared, weights)
    with (shared / "web.lock").open("w") as lock, pytest.MonkeyPatch.context() as patch:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            runtime.fetched_archive()
        except DownloadError as error:
            pytest.skip(f"no runtime of the browser: {error}")
        patch.setattr(exporter, "GZIP_LEVEL", 1)
        if not made.site.exists():
            model_of_passes(faces).save_pretrained(made.model)
            with exports_untraced():
                export_onnx(made.model, made.onnx, ExportPlan(half=True))
            exporter.export_site(made.onnx, made.site)
    return made
