"""Preflight: what a later stage would refuse is refused before any training, in seconds."""

from __future__ import annotations

from pathlib import Path

from dualstylegan.errors import SettingsError
from dualstylegan.evaluation.limits import check_counts
from dualstylegan.io.files import check_writable
from dualstylegan.networks.device import resolve_device
from tasks.shared.networks import open_networks
from tasks.shared.paths import Paths
from tasks.shared.settings import Settings

# Copies of the networks' files while training: weights, their average, two moments of Adam, the
# discriminator, in float32, the state before the last one, and both results in DVC's cache.
STATE_COPIES = 16
# An image as PNG is at most as large as its pixels. Each lies in data/ and in DVC's cache.
CHANNELS = 3
COPIES = 2
PORTRAIT_PX = 1024


def check_feasible(settings: Settings, faces: int, exemplars: int) -> None:
    """Check everything that later stages refuse, as far as it is known before training.

    Args:
        settings: of the pipeline.
        faces: content faces.
        exemplars: exemplars that are trained on.

    Raises:
        SettingsError: this machine lacks the device, or the networks render no such size.
        DataError: too few faces or exemplars.
        OutputError: data/ cannot be written, or too little disk space is left.
    """
    resolve_device(settings.runtime.device)
    _check_size(settings)
    chosen = settings.evaluate
    faces_measured = min(faces, chosen.contents or faces)
    exemplars_measured = min(exemplars, chosen.styles or exemplars)
    check_counts(faces_measured, exemplars_measured)
    pictures = faces_measured * exemplars_measured
    check_writable(Paths.data / "probe", needed_bytes(settings, faces + exemplars, pictures))


def check_aligned(settings: Settings) -> None:
    """Check what later stages refuse on the aligned portraits; see `check_feasible`."""
    faces, exemplars = (
        len(list(folder.glob("*.png"))) for folder in (Paths.faces, Paths.exemplars)
    )
    check_feasible(settings, faces, exemplars)


def _check_size(settings: Settings) -> None:
    """Check that the networks render the size of the evaluation (SettingsError)."""
    limit = open_networks(settings.profile).config().generator.resolution
    if settings.evaluate.size > limit:
        raise SettingsError(
            "setting `evaluate.size` exceeds what the networks render",
            file=settings.profile.networks,
            value=f"{settings.evaluate.size} px",
            limit=f"{limit} px",
            fix="lower evaluate.size",
        )


def needed_bytes(settings: Settings, portraits: int, pictures: int) -> int:
    """Estimate the disk space in bytes that the whole pipeline takes at most.

    Args:
        settings: of the pipeline.
        portraits: faces and exemplars.
        pictures: results of the evaluation.
    """
    networks = sum(p.stat().st_size for p in Path(settings.profile.networks).glob("*.safetensors"))
    pixels = portraits * (PORTRAIT_PX**2 + settings.align.size**2)
    pixels += pictures * settings.evaluate.size**2
    return STATE_COPIES * networks + COPIES * CHANNELS * pixels
