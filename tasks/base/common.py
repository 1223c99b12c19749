"""Shared by the stages of the base models: settings, networks, training and results."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path

from PIL import Image
from torch import Tensor

from dualstylegan.finetuning.trainer import RunPlan, Trainer, Training
from dualstylegan.io.checkpoints import save_tensors
from dualstylegan.io.files import read_json, sha256_file, write_bytes, write_json
from dualstylegan.io.images import read_image, write_png
from dualstylegan.networks.device import resolve_device
from dualstylegan.networks.loading import (
    DISCRIMINATOR_FILE,
    ENCODER_FILE,
    EXTRINSIC_FILE,
    HEADS_FILE,
    EmbeddedNetworks,
)
from tasks.base.settings import BaseSettings
from tasks.shared.curves import step_progress, write_curves
from tasks.shared.networks import Module, place
from tasks.shared.paths import STATE_FILE, Paths
from tasks.shared.sections import read_settings

SETTINGS = Path("tasks/base/params.yaml")
SHIPPED = (HEADS_FILE, ENCODER_FILE, EXTRINSIC_FILE, DISCRIMINATOR_FILE)
SAVE_SECONDS = 60.0
SAMPLE_GRIDS = 15
MEASURED = ("encoder", "limits", "structure")
PICTURES = (*MEASURED, "pastiche")
DOCS = Path("docs/base")
JPEG_QUALITY = 85
HELD_OUT_FILE = "held_out.json"
# Extrinsic path after stage 2, before it goes on with pastiches.
STRUCTURE_FILE = "structure.safetensors"


def load_base_settings() -> BaseSettings:
    """Read tasks/base/params.yaml.

    Raises:
        SettingsError: it does not fit the schema.
    """
    return read_settings(BaseSettings, SETTINGS)


def networks() -> EmbeddedNetworks:
    """Return the embedded networks with the base models trained so far."""
    return EmbeddedNetworks(Paths.weights, Paths.base_build)


def placed(network: Module, settings: BaseSettings) -> Module:
    """Move a network to the device of the settings, in their precision."""
    return place(network, settings.profile, resolve_device(settings.runtime.device))


def keep(name: str, tensors: Mapping[str, Tensor]) -> None:
    """Write a base model in half precision."""
    save_tensors(Paths.base_build / name, {k: v.half() for k, v in tensors.items()})


def ship(settings: BaseSettings) -> None:
    """Copy the trained base models into data/base and their images into docs/base."""
    for name in SHIPPED:
        write_bytes(Paths.base / name, (Paths.base_build / name).read_bytes())
        print(f"{name}: {sha256_file(Paths.base / name)}")
    for name in PICTURES:
        coded = io.BytesIO()
        picture = read_image(Paths.base_build / f"{name}.png")
        picture.save(coded, "JPEG", quality=JPEG_QUALITY, optimize=True)
        write_bytes(DOCS / f"{name}.jpg", coded.getvalue())


def run(
    name: str,
    training: Training,
    steps: int,
    seed: int,
    decay: float,
    fingerprint: str,
    watch: Callable[[], Mapping[str, float]],
) -> dict[str, Tensor]:
    """Train to the last step, resuming a saved state, and return the averaged state.

    Args:
        watch: function that measures the averaged network on held-out faces, called with each
            sample grid.
    """
    folder = Paths.base_build / name

    def on_picture(step: int, picture: Image.Image) -> None:
        write_png(folder / f"{step:06d}.png", picture)
        # Replaces rows of a run that was killed after its last saved state.
        earlier = [row for row in held_out_curve(name) if row["step"] < step] if step else []
        write_json(folder / HELD_OUT_FILE, [*earlier, {"step": step, **watch()}])

    show = step_progress(name, steps)
    plan = RunPlan(steps, seed, decay, SAVE_SECONDS, max(1, steps // SAMPLE_GRIDS), fingerprint)
    trainer = Trainer(training, plan, folder / STATE_FILE, show, on_picture)
    if not trainer.state_file.exists():
        on_picture(0, training.picture())
    trainer.run()
    trainer.save()  # a stage killed in its second training keeps the first
    write_curves(folder, trainer.history)
    return trainer.averaged_state()


def held_out_curve(name: str) -> list[dict[str, float]]:
    """Return the results of `watch` during a training: rows of `step` and measures."""
    path = Paths.base_build / name / HELD_OUT_FILE
    rows: list[dict[str, float]] = read_json(path) if path.exists() else []
    return rows


def forget(name: str) -> None:
    """Remove a training's saved state; sample grids and curves stay."""
    (Paths.base_build / name / STATE_FILE).unlink(missing_ok=True)
