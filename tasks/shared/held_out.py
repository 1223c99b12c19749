"""Held-out exemplars, added to the packaged model as styles; their codes are cached.

Legend of shape suffixes: N exemplar, L row, D style width.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict

import torch
from PIL import Image

from dualstylegan.codes.tables import digest
from dualstylegan.evaluation.rendering import Frames, Portrait
from dualstylegan.io.files import write_json
from dualstylegan.io.images import png_bytes
from dualstylegan.networks.precision import compute_dtype, dtype_of
from dualstylegan.portrait.add_style import AddStyleSettings, add_style, with_style
from dualstylegan.portrait.model import PortraitModel
from tasks.shared.at_once import Tick, fits_at_once
from tasks.shared.caching import Entry, cache_key
from tasks.shared.mapping import Computation, mapped
from tasks.shared.paths import Paths
from tasks.shared.settings import Profile
from tasks.shared.tensors import framed_digest, stack_entries, tensor_entries

# Increase when the way styles are added changes, so that cached codes are made again.
VERSION = 2


class StyleAdder(Computation):
    """Codes of portraits as styles of a model; see `add_styles`."""

    stage = "add_style"

    def __init__(
        self,
        model: PortraitModel,
        portraits: Sequence[Portrait],
        frames: Frames,
        settings: AddStyleSettings,
        profile: Profile,
    ) -> None:
        self.model, self.portraits, self.frames = model, dict(portraits), frames
        self.settings, self.profile = settings, profile
        self.steps = settings.invert_steps + settings.refine_steps
        self.together = fits_at_once(model.device)
        self.digests = [digest(model.network), digest(model.encoder)]

    def keys(self, names: Sequence[str]) -> list[str]:
        """Return a key of everything that a style's codes depend on."""
        return [
            cache_key(
                VERSION,
                framed_digest(_digest(self.portraits[name]), self.frames.get(name)),
                asdict(self.settings),
                self.profile.bfloat16,
                self.digests,
            )
            for name in names
        ]

    def compute(self, names: Sequence[str], tick: Tick) -> list[Entry]:
        """Add one portrait to the model: its codes, and the seconds that it took."""
        (name,) = names
        start = time.monotonic()

        def report(what: str, done: int, total: int) -> None:
            tick(done + (self.settings.invert_steps if what == "refinement" else 0))

        styles = add_style(
            self.model,
            name,
            self.portraits[name],
            align=False,
            frame=self.frames.get(name),
            settings=self.settings,
            progress=report,
        ).model.styles
        return tensor_entries(
            {
                "extrinsic": styles.extrinsic_of([name]),
                "intrinsic": styles.intrinsic_of([name]),
                "seconds": torch.tensor([time.monotonic() - start]),
            }
        )


def add_styles(
    model: PortraitModel,
    portraits: Sequence[Portrait],
    frames: Frames,
    settings: AddStyleSettings,
    profile: Profile,
) -> PortraitModel:
    """Return the model with portraits added as styles; codes come from data/cache if cached.

    Args:
        model: packaged model; it does not change.
        portraits: aligned portraits, by name.
        frames: frames of their pictures, by name.
        settings: of the optimisation.
        profile: its precision.
    """
    if not portraits:
        return model
    adder = StyleAdder(model, portraits, frames, settings, profile)
    with compute_dtype(model.generator, dtype_of(profile.bfloat16, model.device)):
        found = stack_entries(mapped(adder, adder.portraits))
    extrinsic, intrinsic = (found[key].to(model.device) for key in ("extrinsic", "intrinsic"))
    for i, (name, image) in enumerate(portraits):
        model = with_style(model, name, extrinsic[i : i + 1], intrinsic[i : i + 1], image)
    write_json(
        Paths.added_seconds,
        {
            name: round(float(seconds), 3)
            for (name, _), seconds in zip(portraits, found["seconds"], strict=True)
        },
    )
    return model


def _digest(image: Image.Image) -> str:
    return hashlib.sha256(png_bytes(image)).hexdigest()
