"""A tiny model and its ONNX form, exported once for all workers of a test run."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from dualstylegan.io.checkpoints import save_tensors
from dualstylegan.networks.config import IDENTITY_FILE
from dualstylegan.networks.encoder import PortraitEncoder
from dualstylegan.networks.identity import DlibFaceRecognition
from dualstylegan.portrait.model import PortraitModel
from dualstylegan.portrait.onnx_folder import ExportPlan, export_onnx
from tests.support.portrait_models import tiny_model
from tests.support.tracing import exports_untraced

PX = 64


def model_of_passes(weights: Path) -> PortraitModel:
    """Return a tiny model of three passes, whose face recognition has random weights.

    Args:
        weights: new folder of the model's third-party weights.
    """
    model = tiny_model(resolution=PX)
    identity = DlibFaceRecognition()
    torch.manual_seed(1)
    for network in (model.encoder, identity):
        _awaken(network)
    # distances of embeddings about one, and corrections small beside the codes
    encoder = model.encoder
    assert isinstance(encoder, PortraitEncoder)
    rows = [level.rows for level in encoder.levels]
    for layer, gain in (
        (identity.embed, 0.01),
        *((row, 0.05) for row in (*rows, encoder.identity.rows)),
    ):
        layer.weight.data.mul_(gain)  # type: ignore[operator, union-attr]
    save_tensors(weights / IDENTITY_FILE, identity.state_dict())
    model.weights_dir = weights
    defaults = model.config.defaults.model_copy(update={"fit_passes": 3, "fit_likeness_line": 0.0})
    model.config = model.config.model_copy(update={"defaults": defaults})
    return model


def _awaken(network: nn.Module) -> None:
    """Draw weights that keep a signal: with torch's own, deep networks answer everything alike."""
    for weight in network.parameters():
        if weight.ndim > 1:
            nn.init.kaiming_normal_(weight)


def exported_pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the folders of a model and of its ONNX form, made by the first worker that asks."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folders = shared / "portrait", shared / "portrait-onnx"
    with (shared / "onnx.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folders[1].exists():
            model_of_passes(shared / "portrait-faces").save_pretrained(folders[0])
            with exports_untraced():
                export_onnx(*folders, ExportPlan())
    return folders
