"""Faces of a series of frames, of a file or of a camera: tracked, cropped and encoded in order.

Legend of shape suffixes: Q corner of a quad, 2 x and y in pixels, L row, D style width.
"""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image
from torch import Tensor

from dualstylegan.faces.frame import Array, picture_frame
from dualstylegan.faces.geometry import crop_quad
from dualstylegan.io.arrays import array_to_image, as_array
from dualstylegan.portrait.face_weights import FACE_FILES, require_weights
from dualstylegan.portrait.model import PortraitModel
from dualstylegan.portrait.options import RestyleOptions
from dualstylegan.portrait.restyling import restyle_code
from dualstylegan.portrait.result import model_facts, prefixed
from dualstylegan.portrait.style_choice import ChosenStyle
from dualstylegan.video.performance import Performance
from dualstylegan.video.tracking import FaceTracker


@dataclass(frozen=True)
class PerformedFace:
    """Face in a frame.

    Attributes:
        quad_Q2: corners of its FFHQ crop in the frame.
        crop: the crop.
        code_LD: its code in Z+.
        performance: of its track; a new one means another shot or another person.
    """

    quad_Q2: Array
    crop: Image.Image
    code_LD: Tensor
    performance: Performance


class Performer:
    """Largest face of each shot of a series of frames.

    Args:
        model: fits and encodes.
        fit_steps: optimisation steps of the fit of each track's first frame; None takes the
            model's default.

    Raises:
        WeightsError: the face models are missing.
    """

    def __init__(self, model: PortraitModel, fit_steps: int | None = None) -> None:
        self.model, self.fit_steps = model, fit_steps
        self._tracker = FaceTracker(require_weights(model.weights_dir, *FACE_FILES))
        self._performance: Performance | None = None
        self._track = -1

    def follow(self, image: Image.Image, seconds: float) -> PerformedFace | None:
        """Return the face of the next frame, RGB, shown at `seconds`; None: no face.

        Raises:
            WeightsError: the face models, LPIPS or face recognition are missing or unreadable.
        """
        face = self._tracker.follow(image, seconds)
        if face is None:
            return None
        crop = crop_quad(image, face.quad_Q2, self.model.config.defaults.crop_px)
        frame = picture_frame(image.size, face.quad_Q2)
        if self._performance is None or face.track != self._track:
            self._track = face.track
            self._performance = Performance(self.model, crop, frame, self.fit_steps)
        code_LD = self._performance.code(crop, frame, seconds)
        return PerformedFace(face.quad_Q2, crop, code_LD, self._performance)


def restyle_performed(
    model: PortraitModel, face: PerformedFace, style: ChosenStyle, options: RestyleOptions
) -> Image.Image:
    """Render the crop of a face in a style, `options.size` pixels wide and high."""
    face_LD = model.networks.map(as_array(face.code_LD))
    return array_to_image(restyle_code(model, face_LD, style, options))


def crop_facts(model: PortraitModel, style: ChosenStyle, options: RestyleOptions) -> dict[str, str]:
    """Return the recipe of restyled crops, as results of photos have it."""
    facts = model_facts(model.config, model.digest)
    return prefixed(facts | style.facts | options.facts(model.config.defaults))
