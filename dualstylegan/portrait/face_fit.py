"""Fit of a Z+ code to a face by the networks of a portrait model, and the model's digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from PIL import Image

from dualstylegan.codes.fitting import FitNetworks, FitSettings, fit, likeness
from dualstylegan.codes.tables import digest_codes
from dualstylegan.io.arrays import as_array
from dualstylegan.networks.config import IDENTITY_FILE, PERCEPTUAL_FILE
from dualstylegan.networks.loading import load_identity, load_perceptual
from dualstylegan.networks.masks import framed_image
from dualstylegan.portrait.face_weights import has_weights, require_weights
from dualstylegan.portrait.sitter import FaceFit

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from dualstylegan.faces.frame import Array
    from dualstylegan.networks.generator import Generator
    from dualstylegan.networks.identity import DlibFaceRecognition
    from dualstylegan.networks.vgg import LPIPS
    from dualstylegan.portrait.config import TransferDefaults
    from dualstylegan.portrait.model import PortraitModel


class MeasuringNetworks:
    """LPIPS and dlib's face recognition, each loaded when it is first needed, and kept."""

    def __init__(self) -> None:
        self._lpips: LPIPS | None = None
        self._identity: DlibFaceRecognition | None = None

    def lpips(self, weights_dir: Path | None, device: torch.device) -> LPIPS:
        """Return LPIPS; WeightsError if its weights are missing."""
        if self._lpips is None:
            self._lpips = load_perceptual(require_weights(weights_dir, PERCEPTUAL_FILE))
        return self._lpips.to(device)

    def identity(self, weights_dir: Path | None, device: torch.device) -> DlibFaceRecognition:
        """Return dlib's face recognition; WeightsError if its weights are missing."""
        if self._identity is None:
            self._identity = load_identity(require_weights(weights_dir, IDENTITY_FILE))
        return self._identity.to(device)


def settings_of(defaults: TransferDefaults, generator: Generator, steps: int | None) -> FitSettings:
    """Return the settings of the fit; None takes the default number of steps."""
    return FitSettings(
        size=generator.size_up_to(defaults.fit_px),
        steps=defaults.fit_steps if steps is None else steps,
        passes=defaults.fit_passes,
        rate=defaults.fit_rate,
        pixel_weight=defaults.fit_pixel_weight,
        identity_weight=defaults.fit_identity_weight,
        restyled_weight=defaults.fit_restyled_weight,
        structure=defaults.structure,
        color=defaults.color,
    )


def fit_face(
    model: PortraitModel,
    face: Image.Image,
    steps: int | None,
    frame: Array | None,
    progress: Callable[[int], None] | None,
) -> FaceFit:
    """Fit a code to an aligned face and measure its likeness, see `PortraitModel.fit`."""
    settings = model.fit_settings(steps)
    pixels = max(settings.size, model.config.network.encoder_px)
    image, mask = framed_image(face, frame, pixels, model.device)
    measured = settings.needs_identity or has_weights(model.weights_dir, IDENTITY_FILE)
    identity = model.identity() if measured else None
    networks = FitNetworks(
        model.generator,
        model.encoder,
        model.lpips() if settings.steps else None,
        identity,
        model.network,
        model.fit_exemplars(),
    )
    code_NLD = fit(networks, image, settings, progress, mask).code_NLD
    similar = None
    if identity is not None:
        (similarity,) = likeness(model.generator, identity, code_NLD, image, settings.size, mask)
        similar = float(similarity)
    return FaceFit(
        as_array(code_NLD[0]), settings.steps, similar, model.config.defaults.fit_likeness_line
    )


def digest_model(model: PortraitModel, networks: tuple[str, str]) -> str:
    """Compute the SHA-256 of what decides about codes and their rendering, as hex.

    These are the networks, their precision, and the settings of alignment and fit; a style more or
    less changes nothing.

    Args:
        model: the model.
        networks: digests of G and E.
    """
    defaults = model.config.defaults.model_dump(exclude={"structure", "color", "truncation"})
    parts = [*networks, model.config.bfloat16, defaults]
    if defaults["fit_restyled_weight"]:
        parts.append(digest_codes(model.fit_exemplars()))
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
