"""Reading of a photo: its faces are found, cropped and fitted, the largest first."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from PIL import Image

from dualstylegan.io.images import picture_digest
from dualstylegan.portrait.options import ReadOptions, face_count
from dualstylegan.portrait.sitter import Sitter, SitterFace
from dualstylegan.portrait.sizes import centre_square

if TYPE_CHECKING:
    from dualstylegan.faces.align import AlignedFace, LeftOut
    from dualstylegan.portrait.restyler import Restyler

LOGGER = logging.getLogger(__name__)

# Called with the steps of the fit done and their number, over all faces.
ReadProgress = Callable[[int, int], None]


def read_sitter(
    model: Restyler, image: Image.Image, options: ReadOptions, progress: ReadProgress | None
) -> Sitter:
    """Read the faces of a photo, see `PortraitModel.read`."""
    options.check()
    steps = model.networks.fit_steps(options.fit_steps)
    photo = image.convert("RGB")
    crops: tuple[AlignedFace | None, ...] = (None,)
    left_out: tuple[LeftOut, ...] = ()
    if options.align:
        found = model.align_all(photo, face_count(options.faces))
        crops, left_out = found.faces, found.left_out
    read: list[SitterFace] = []
    for crop in crops:
        ticks = None if progress is None else _ticks(progress, len(read), len(crops), steps)
        read.append(_read_face(model, photo, crop, steps, ticks))
        likeness = read[-1].fit.likeness
        LOGGER.debug(f"face {len(read)} of {len(crops)}: {steps} steps, likeness {likeness}")
    digest = picture_digest(photo)
    return Sitter(photo.size, digest, model.digest, tuple(read), left_out, options.faces)


def _read_face(
    model: Restyler,
    photo: Image.Image,
    crop: AlignedFace | None,
    steps: int,
    progress: Callable[[int], None] | None,
) -> SitterFace:
    """Fit an aligned face, or the centre square of the photo where there is no crop."""
    if crop is None:
        return SitterFace(model.fit(centre_square(photo), steps, progress=progress))
    fitted = model.fit(crop.image, steps, crop.frame, progress)
    return SitterFace(fitted, crop.quad, crop.landmarks_K2, crop.frame, crop.flags)


def _ticks(progress: ReadProgress, before: int, faces: int, steps: int) -> Callable[[int], None]:
    """Return the progress of a face's fit as that of the whole photo."""
    return lambda done: progress(before * steps + done, faces * steps)
