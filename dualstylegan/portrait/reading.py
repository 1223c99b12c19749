"""Reading of a photo: its faces are found, cropped and fitted, the largest first."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from PIL import Image

from dualstylegan.errors import SettingsError
from dualstylegan.io.images import picture_digest
from dualstylegan.portrait.config import check_options
from dualstylegan.portrait.sitter import Faces, Sitter, SitterFace
from dualstylegan.portrait.sizes import centre_square

if TYPE_CHECKING:
    from dualstylegan.faces.align import AlignedFace
    from dualstylegan.portrait.model import PortraitModel

# Called with the steps of the fit done and their number, over all faces.
ReadProgress = Callable[[int, int], None]


def face_count(faces: Faces) -> int | None:
    """Return the number of faces to read at most; None: all.

    Raises:
        SettingsError: neither "largest", "all" nor a number above 0.
    """
    if faces == "all":
        return None
    if faces == "largest":
        return 1
    if isinstance(faces, int) and faces > 0:
        return faces
    raise SettingsError("faces", value=faces, limit="largest, all, or a number of 1 or more")


def read_sitter(
    model: PortraitModel,
    image: Image.Image,
    faces: Faces,
    align: bool,
    fit_steps: int | None,
    progress: ReadProgress | None,
) -> Sitter:
    """Read the faces of a photo, see `PortraitModel.read`."""
    check_options(fit_steps=fit_steps)
    count = face_count(faces)
    photo = image.convert("RGB")
    if align:
        found = model.align_all(photo, count)
        crops: tuple[AlignedFace | None, ...] = found.faces
        left_out = found.left_out
    elif faces == "largest":
        crops, left_out = (None,), ()
    else:
        raise SettingsError("several faces need the alignment", fix="leave `align` on")
    read: list[SitterFace] = []
    for crop in crops:
        ticks = None
        if progress is not None:
            ticks = _ticks(progress, len(read), len(crops), model.fit_settings(fit_steps).steps)
        read.append(_read_face(model, photo, crop, fit_steps, ticks))
    digest = picture_digest(photo)
    return Sitter(photo.size, digest, model.digest, tuple(read), left_out, faces)


def _read_face(
    model: PortraitModel,
    photo: Image.Image,
    crop: AlignedFace | None,
    fit_steps: int | None,
    progress: Callable[[int], None] | None,
) -> SitterFace:
    """Fit an aligned face, or the centre square of the photo where there is no crop."""
    if crop is None:
        return SitterFace(model.fit(centre_square(photo), fit_steps, progress=progress))
    fitted = model.fit(crop.image, fit_steps, crop.frame, progress)
    return SitterFace(fitted, crop.quad, crop.landmarks_K2, crop.frame, crop.flags)


def _ticks(progress: ReadProgress, before: int, faces: int, steps: int) -> Callable[[int], None]:
    """Return the progress of a face's fit as that of the whole photo."""
    return lambda done: progress(before * steps + done, faces * steps)
