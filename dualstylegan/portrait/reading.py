"""Reading of a photo: its faces are found, cropped and fitted, the largest first."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from PIL import Image

from dualstylegan.io.conversion import as_rgb
from dualstylegan.io.images import picture_digest
from dualstylegan.portrait.options import Faces, ReadOptions, face_count
from dualstylegan.portrait.sitter import Sitter, SitterFace
from dualstylegan.portrait.sizes import centre_square

if TYPE_CHECKING:
    from dualstylegan.faces.align import AlignedFace, LeftOut
    from dualstylegan.portrait.restyler import Restyler

LOGGER = logging.getLogger(__name__)

# Called with the steps of the fit done and their number, over all faces.
ReadProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class CutPhoto:
    """Faces cut out of a photo, which is no longer needed to read them.

    Attributes:
        photo_size: width and height in pixels.
        photo_digest: SHA-256 of the photo's pixels.
        faces: the largest first; of a photo that is not aligned its centre square.
        left_out: the other faces that were found, and why they were not taken.
        asked: the faces that were asked for.
    """

    photo_size: tuple[int, int]
    photo_digest: str
    faces: tuple[AlignedFace | Image.Image, ...]
    left_out: tuple[LeftOut, ...] = ()
    asked: Faces = "largest"

    @property
    def size(self) -> int:
        """Bytes in memory, about."""
        images = (face if isinstance(face, Image.Image) else face.image for face in self.faces)
        return sum(3 * image.width * image.height for image in images)

    def largest(self) -> CutPhoto:
        """Return the photo as if its largest face alone had been asked for."""
        from dualstylegan.faces.align import SMALLER, LeftOut

        others = (face for face in self.faces[1:] if not isinstance(face, Image.Image))
        smaller = tuple(LeftOut(face.box, SMALLER) for face in others)
        return replace(self, faces=self.faces[:1], left_out=smaller + self.left_out, asked=1)


def cut_faces(model: Restyler, image: Image.Image, options: ReadOptions) -> CutPhoto:
    """Find the faces of a photo and cut them out, see `PortraitModel.read`."""
    options.check()
    photo = as_rgb(image)
    digest = picture_digest(photo)
    if not options.align:
        return CutPhoto(photo.size, digest, (centre_square(photo),), asked=options.faces)
    found = model.align_all(photo, face_count(options.faces))
    return CutPhoto(photo.size, digest, found.faces, found.left_out, options.faces)


def read_cut(
    model: Restyler, cut: CutPhoto, fit_steps: int | None, progress: ReadProgress | None
) -> Sitter:
    """Read faces that were cut out, see `PortraitModel.read`."""
    steps = model.networks.fit_steps(fit_steps)
    read: list[SitterFace] = []
    for face in cut.faces:
        ticks = None if progress is None else _ticks(progress, len(read), len(cut.faces), steps)
        read.append(_read_face(model, face, steps, ticks))
        likeness = read[-1].fit.likeness
        LOGGER.debug(f"face {len(read)} of {len(cut.faces)}: {steps} steps, likeness {likeness}")
    return Sitter(
        cut.photo_size, cut.photo_digest, model.digest, tuple(read), cut.left_out, cut.asked
    )


def read_sitter(
    model: Restyler, image: Image.Image, options: ReadOptions, progress: ReadProgress | None
) -> Sitter:
    """Read the faces of a photo, see `PortraitModel.read`."""
    steps = model.networks.fit_steps(options.fit_steps)  # refused before a face is looked for
    return read_cut(model, cut_faces(model, image, options), steps, progress)


def _read_face(
    model: Restyler,
    face: AlignedFace | Image.Image,
    steps: int,
    progress: Callable[[int], None] | None,
) -> SitterFace:
    """Fit an aligned face, or the square of a photo that was not aligned."""
    if isinstance(face, Image.Image):
        return SitterFace(model.fit(face, steps, progress=progress))
    fitted = model.fit(face.image, steps, face.frame, progress)
    return SitterFace(fitted, face.quad, face.landmarks_K2, face.frame, face.flags)


def _ticks(progress: ReadProgress, before: int, faces: int, steps: int) -> Callable[[int], None]:
    """Return the progress of a face's fit as that of the whole photo."""
    return lambda done: progress(before * steps + done, faces * steps)
