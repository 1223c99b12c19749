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
from tasks.shared.caching import cache_key
from tasks.shared.paths import Paths
from tasks.shared.settings import Profile
from tasks.shared.tensors import Tensors, cached_tensors, framed_digest

# Increase when the way styles are added changes, so that cached codes are made again.
VERSION = 2


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
    digests = [digest(model.network), digest(model.encoder)]
    keys = [
        cache_key(
            VERSION,
            framed_digest(_digest(image), frames.get(name)),
            asdict(settings),
            profile.bfloat16,
            digests,
        )
        for name, image in portraits
    ]

    def work(indices: list[int], tick: Tick) -> Tensors:
        (index,) = indices
        start = time.monotonic()

        def report(what: str, done: int, total: int) -> None:
            tick(done + (settings.invert_steps if what == "refinement" else 0))

        name, image = portraits[index]
        frame = frames.get(name)
        styles = add_style(
            model, name, image, align=False, frame=frame, settings=settings, progress=report
        ).model.styles
        return {
            "extrinsic": styles.extrinsic_of([name]),
            "intrinsic": styles.intrinsic_of([name]),
            "seconds": torch.tensor([time.monotonic() - start]),
        }

    steps = settings.invert_steps + settings.refine_steps
    with compute_dtype(model.generator, dtype_of(profile.bfloat16, model.device)):
        found = cached_tensors("add_style", keys, 1, steps, work, fits_at_once(model.device))
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
