"""Reading and restyling of photos by a model's networks, whatever computes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from dualstylegan.errors import CheckpointError, SettingsError
from dualstylegan.portrait.config import PortraitConfig
from dualstylegan.portrait.face_weights import FACE_FILES, require_weights
from dualstylegan.portrait.networks import PortraitNetworks
from dualstylegan.portrait.options import Faces, ReadOptions, RestyleOptions
from dualstylegan.portrait.reading import ReadProgress, read_sitter
from dualstylegan.portrait.restyling import restyle_sitter
from dualstylegan.portrait.sitter import FaceFit, Sitter, warn_of
from dualstylegan.portrait.sizes import render_size
from dualstylegan.portrait.style_choice import Style, choose_style
from dualstylegan.portrait.styles import StyleLibrary

if TYPE_CHECKING:
    from torch import Tensor

    from dualstylegan.faces.align import AlignedFace, FoundFaces
    from dualstylegan.faces.backgrounds import Background
    from dualstylegan.faces.frame import Array


class Restyler:
    """Part of a portrait model that reads and restyles photos. Imports no torch.

    Attributes:
        config: defaults of transfer, and names of the styles.
        styles: the named exemplars.
        networks: encode and render codes.
        weights_dir: folder of face detector and landmark model; None takes that of
            DUALSTYLEGAN_WEIGHTS when they are needed.
    """

    config: PortraitConfig
    styles: StyleLibrary
    networks: PortraitNetworks
    weights_dir: Path | None

    @property
    def digest(self) -> str:
        """SHA-256 of what decides about codes and their rendering, see `digest_model`."""
        return self.networks.digest

    def read(
        self,
        photo: Image.Image,
        *,
        faces: Faces = "largest",
        align: bool = True,
        fit_steps: int | None = None,
        progress: ReadProgress | None = None,
    ) -> Sitter:
        """Read the faces of a photo, to restyle them as often as one likes.

        Nearly all of the time of `transfer` is spent here, whatever the style.

        Args:
            photo: a photo, or an aligned face if `align` is off.
            faces, align, fit_steps: see `ReadOptions`.
            progress: called with the steps of the fit done and their number, over all faces.

        Warns:
            LikenessWarning: a face's code renders a face that may not be recognised.

        Raises:
            SettingsError: a value out of its bounds.
            FaceError: no usable face.
            WeightsError: the face models, LPIPS or face recognition are missing.
        """
        sitter = read_sitter(self, photo, ReadOptions(faces, align, fit_steps), progress)
        warn_of(sitter)
        return sitter

    def restyle(
        self,
        sitter: Sitter,
        style: Style | None = None,
        *,
        seed: int | None = None,
        structure: float | None = None,
        color: float | None = None,
        weights: Sequence[float] | None = None,
        preserve_color: bool = False,
        truncation: float | None = None,
        size: int = 256,
        face: int = 0,
        paste: bool = False,
        photo: Image.Image | None = None,
        background: Background = "keep",
    ) -> Image.Image:
        """Restyle a face that `read` has found, or all of them where they are in the photo.

        Args:
            sitter: the photo as this model read it.
            style: name or label of a style; a Z+ code (L, D); or weights of several styles by
                name, which are mixed in W+.
            seed: of a new style that the sampler draws, in place of `style`.
            structure, color, weights, preserve_color, truncation, size, background: see
                `RestyleOptions`.
            face: index of the face, 0 the largest.
            paste: put every face that was read back into the photo; needs `photo`.
            photo: the photo that was read.

        Returns:
            The result; its `info` holds the facts of its making, see `Recipe` and `outcome_facts`.

        Raises:
            SettingsError: an unknown style, a value out of its bounds, or another photo.
            CheckpointError: another model has read the photo, or this one has no sampler.
        """
        options = RestyleOptions(
            structure, color, weights, preserve_color, truncation, size, background
        )
        chosen = choose_style(self, style, seed, options)
        if paste and photo is None:
            raise SettingsError("pasting back needs the photo", fix="give `photo`")
        return restyle_sitter(self, sitter, chosen, options, face, photo if paste else None)

    def transfer(
        self,
        image: Image.Image,
        style: Style | None = None,
        *,
        seed: int | None = None,
        structure: float | None = None,
        color: float | None = None,
        weights: Sequence[float] | None = None,
        preserve_color: bool = False,
        truncation: float | None = None,
        size: int = 256,
        align: bool = True,
        faces: Faces = "largest",
        paste: bool = False,
        background: Background = "keep",
        fit_steps: int | None = None,
    ) -> Image.Image:
        """Restyle the face of a photo: `read`, then `restyle`, whose arguments it takes.

        Several `faces` are put back into the photo with `paste`, which needs `align`.
        """
        options = RestyleOptions(
            structure, color, weights, preserve_color, truncation, size, background
        )
        chosen = choose_style(self, style, seed, options)
        reading = ReadOptions(faces, align, fit_steps)
        reading.check_shown(paste)
        render_size(self.networks.sizes, size)  # refused before the work
        sitter = read_sitter(self, image, reading, None)
        result = restyle_sitter(self, sitter, chosen, options, 0, image if paste else None)
        warn_of(sitter)
        return result

    def sample_style(self, seed: int) -> Tensor:
        """Draw a new style code (L, D) in Z+ from the sampler.

        Raises:
            CheckpointError: the model has no sampler.
        """
        raise CheckpointError("the model has no style sampler", fix="package it with one")

    def align(self, photo: Image.Image) -> AlignedFace:
        """Cut the largest face out of an RGB photo, see `align_all`."""
        return self.align_all(photo, 1).faces[0]

    def align_all(self, photo: Image.Image, count: int | None = None) -> FoundFaces:
        """Cut faces out of an RGB photo, at the size that the model was trained on.

        Args:
            photo: RGB, upright.
            count: number of faces to take at most, the largest first; None: all.

        Raises:
            FaceError: no usable face.
            WeightsError: the face models are missing.
        """
        from dualstylegan.faces.align import align_faces

        weights = require_weights(self.weights_dir, *FACE_FILES)
        return align_faces(photo, self.config.defaults.crop_px, weights_dir=weights, count=count)

    def fit(
        self,
        face: Image.Image,
        steps: int | None = None,
        frame: Array | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> FaceFit:
        """Fit a Z+ code to an aligned face, and measure its likeness to the face.

        Args:
            face: a square FFHQ crop.
            steps: optimisation steps after the encoder; None takes the config's default, 0 keeps
                the encoder's code.
            frame: frame (4, 2) of the photo in the crop, as `AlignedFace` has it; what lies
                outside does not count. None: all is inside.
            progress: called with the number of steps done.

        Raises:
            WeightsError: LPIPS, or face recognition where it takes part, is missing.
        """
        return self.networks.fit(face, steps, frame, progress)
