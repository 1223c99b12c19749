"""Codes of a face through a video: identity from one fitted frame, pose and expression per frame.

Legend of shape suffixes: N image, L row, D style width.

A fit per frame would cost seconds, and would flicker: it starts anew in every frame. The encoder
sees pose and expression in one pass, in the coarse and middle rows, with little noise. The code of
a frame is thus that of the fitted frame, moved as the encoder's code has moved since then.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor

from dualstylegan.faces.frame import Array
from dualstylegan.networks.layers import pixel_norm
from dualstylegan.networks.masks import framed_image
from dualstylegan.networks.threads import one_thread
from dualstylegan.portrait.model import PortraitModel
from dualstylegan.portrait.sitter import FaceFit
from dualstylegan.video.smoothing import OneEuroFilter, Smoothing

# Speeds are in units of the code, of unit mean square, a second.
CODE_SMOOTHING = Smoothing(cutoff=1.5, gain=4.0)


class Performance:
    """Face of one person in one shot.

    Args:
        model: fits and encodes.
        crop: FFHQ crop of the frame that gives the identity.
        frame: frame of the picture in the crop, see `faces.frame`.
        fit_steps: optimisation steps of its fit; None takes the model's default.

    Attributes:
        fit: code and likeness of that frame.
    """

    def __init__(
        self,
        model: PortraitModel,
        crop: Image.Image,
        frame: Array | None,
        fit_steps: int | None = None,
    ) -> None:
        self.model = model
        self._crop, self._frame = crop, frame
        self.fit: FaceFit = model.fit(crop, fit_steps, frame)
        self._filter = OneEuroFilter(CODE_SMOOTHING)
        self._first_LD = self._encode(crop, frame)

    def code(self, crop: Image.Image, frame: Array | None, seconds: float) -> Tensor:
        """Return the Z+ code (L, D) of the next frame's crop, shown at `seconds`."""
        moved_LD = self._encode(crop, frame)
        moved_LD = torch.from_numpy(self._filter(moved_LD.cpu().double().numpy(), seconds))
        moved_LD = moved_LD.to(self._first_LD)
        rows = self.model.generator.structure_rows
        code_LD = torch.tensor(self.fit.code_LD).to(self._first_LD)
        code_LD[:rows] += (moved_LD - self._first_LD)[:rows]
        return pixel_norm(code_LD)

    def refit(
        self, fit_steps: int | None = None, progress: Callable[[int], None] | None = None
    ) -> None:
        """Fit the frame of the identity anew; `progress` is called with the number of steps done.

        A live face is fitted while its first frames are shown by the encoder's code.
        """
        self.fit = self.model.fit(self._crop, fit_steps, self._frame, progress)

    def _encode(self, crop: Image.Image, frame: Array | None) -> Tensor:
        pixels = self.model.config.network.encoder_px
        with one_thread():
            image_1CHW, _ = framed_image(crop, frame, pixels, self.model.device)
            return self.model.encode(image_1CHW)[0]
