"""A tiny model and its ONNX form, exported once for all workers of a test run."""

from __future__ import annotations

import fcntl
from pathlib import Path

import torch

from dualstylegan.io.checkpoints import save_tensors
from dualstylegan.networks.identity import DlibFaceRecognition
from dualstylegan.networks.loading import IDENTITY_FILE
from dualstylegan.portrait.model import PortraitModel
from dualstylegan.portrait.onnx_folder import ExportPlan, export_onnx
from tests.support.portrait_models import tiny_model

PX = 32


def model_of_passes(weights: Path) -> PortraitModel:
    """Return a tiny model of three passes, whose face recognition has random weights.

    Args:
        weights: new folder of the model's third-party weights.
    """
    model = tiny_model(resolution=PX)
    torch.manual_seed(1)
    # corrections by identity begin at zero: without weights nothing would be compared
    torch.nn.init.normal_(model.encoder.identity.rows.weight, std=0.02)  # type: ignore[union-attr, arg-type]
    save_tensors(weights / IDENTITY_FILE, DlibFaceRecognition().state_dict())
    model.weights_dir = weights
    defaults = model.config.defaults.model_copy(update={"fit_passes": 3, "fit_likeness_line": 0.0})
    model.config = model.config.model_copy(update={"defaults": defaults})
    return model


def exported_pair(shared: Path) -> tuple[Path, Path]:
    """Return the folders of a model and of its ONNX form, made by the first worker that asks.

    Args:
        shared: a folder that all workers share.
    """
    folders = shared / "portrait", shared / "portrait-onnx"
    with (shared / "onnx.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folders[1].exists():
            model_of_passes(shared / "portrait-faces").save_pretrained(folders[0])
            export_onnx(*folders, ExportPlan())
    return folders
