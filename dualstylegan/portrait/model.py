"""Portrait style transfer: G(E(I), E(S), w) from a photo and the name of a style.

Legend of shape suffixes: N image, S style, L row, D style width, C channel, H height, W width.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor, nn

from dualstylegan.codes.tables import digest
from dualstylegan.errors import CheckpointError, SettingsError
from dualstylegan.networks.device import resolve_device
from dualstylegan.networks.loading import channels_last
from dualstylegan.networks.precision import dtype_of, set_compute_dtype
from dualstylegan.portrait.config import PortraitConfig
from dualstylegan.portrait.face_fit import MeasuringNetworks, digest_model, fit_face, settings_of
from dualstylegan.portrait.face_weights import FACE_FILES, find_weights, require_weights
from dualstylegan.portrait.folder import FolderContent, read_folder, write_folder
from dualstylegan.portrait.hub import push
from dualstylegan.portrait.options import Faces, ReadOptions, RestyleOptions
from dualstylegan.portrait.reading import ReadProgress, read_sitter
from dualstylegan.portrait.rendering import map_codes, render_codes
from dualstylegan.portrait.restyling import restyle_sitter
from dualstylegan.portrait.sitter import FaceFit, Sitter
from dualstylegan.portrait.stores import find_model
from dualstylegan.portrait.style_choice import Style, choose_style
from dualstylegan.portrait.styles import StyleLibrary

if TYPE_CHECKING:
    from dualstylegan.codes.fitting import FitSettings
    from dualstylegan.codes.sampling import StyleSampler
    from dualstylegan.faces.align import AlignedFace, FoundFaces
    from dualstylegan.faces.backgrounds import Background
    from dualstylegan.faces.frame import Array
    from dualstylegan.networks.dualstylegan import DualStyleGAN
    from dualstylegan.networks.generator import Generator
    from dualstylegan.networks.identity import DlibFaceRecognition
    from dualstylegan.networks.vgg import LPIPS


class PortraitModel:
    """A trained model that restyles portraits.

    Args:
        config: schema, defaults of transfer, and precision of the networks.
        network: DualStyleGAN, whose state fits the config.
        encoder: E, aligned faces to Z+ codes.
        styles: the named exemplars.
        sampler: draws new style codes; optional.
        card: text of README.md, the model card.
        licence: text of LICENSE.md; may be empty.
        card_images: JPEG files that the card shows, by the names of CARD_IMAGES; may be empty.
        thumbnails: JPEG files of some or all exemplars, by style name.
        weights_dir: folder of face detector, landmark model, LPIPS and face recognition; None takes
            that of DUALSTYLEGAN_WEIGHTS when one of them is needed.

    Raises:
        CheckpointError: the style codes do not fit the network.
    """

    def __init__(
        self,
        config: PortraitConfig,
        network: DualStyleGAN,
        encoder: nn.Module,
        styles: StyleLibrary,
        *,
        sampler: StyleSampler | None = None,
        card: str = "",
        licence: str = "",
        card_images: dict[str, bytes] | None = None,
        thumbnails: dict[str, bytes] | None = None,
        weights_dir: Path | str | None = None,
    ) -> None:
        self.config = config
        # precision and memory format decide about the last bits: set here, once for all callers
        self.network = set_compute_dtype(network.eval().requires_grad_(False), self.dtype)
        self.encoder = channels_last(encoder.eval().requires_grad_(False))
        self.styles = styles
        self.sampler = sampler
        self.card = card
        self.licence = licence
        self.card_images = card_images or {}
        self.thumbnails = thumbnails or {}
        self.weights_dir = None if weights_dir is None else Path(weights_dir)
        self._measuring = MeasuringNetworks()
        styles.check_shape(self.generator.rows, self.generator.style_dim)

    @property
    def generator(self) -> Generator:
        """The unconditional generator g inside G."""
        return self.network.generator

    @property
    def device(self) -> torch.device:
        """Device of the networks."""
        return self.generator.mean_w.device

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the networks' feature maps."""
        return dtype_of(self.config.bfloat16)

    @property
    def digest(self) -> str:
        """SHA-256 of what decides about codes and their rendering, see `digest_model`."""
        return digest_model(self, self._network_digests)

    @cached_property
    def _network_digests(self) -> tuple[str, str]:
        return digest(self.network), digest(self.encoder)

    def to(self, device: torch.device | str) -> PortraitModel:
        """Move networks and codes to a device, see `resolve_device`; return the model itself."""
        device = resolve_device(device)
        self.network.to(device)
        self.encoder.to(device)
        self.styles = self.styles.to(device)
        return self

    @torch.no_grad()
    def encode(self, face_NCHW: Tensor) -> Tensor:
        """Encode aligned faces (N, 3, H, W) in [-1, 1] into Z+ codes E(I), (N, L, D), in one pass.

        `fit` with 0 steps takes the passes of the model's config.
        """
        codes: Tensor = self.encoder(face_NCHW)
        return codes

    def render(
        self,
        intrinsic_NLD: Tensor,
        extrinsic_NLD: Tensor | None,
        *,
        structure: float | None = None,
        color: float | None = None,
        truncation: float | None = None,
        size: int = 256,
    ) -> Tensor:
        """Render G(z_i+, z_e+, w) as (N, 3, size, size) in [-1, 1], see `render_codes`.

        Codes are in Z+; without extrinsic codes, g renders the faces. None takes the defaults.
        """
        options = RestyleOptions(structure, color, truncation=truncation)
        return render_codes(
            self.network,
            map_codes(self.network, intrinsic_NLD),
            None if extrinsic_NLD is None else map_codes(self.network, extrinsic_NLD),
            options.row_weights(self.network, self.config.defaults),
            truncation=options.psi(self.config.defaults),
            size=size,
        )

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
        _warn_of(sitter)
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
        sitter = read_sitter(self, image, reading, None)
        result = restyle_sitter(self, sitter, chosen, options, 0, image if paste else None)
        _warn_of(sitter)
        return result

    def sample_style(self, seed: int) -> Tensor:
        """Draw a new style code (L, D) in Z+ from the sampler.

        Raises:
            CheckpointError: the model has no sampler.
        """
        if self.sampler is None:
            raise CheckpointError("the model has no style sampler", fix="package it with one")
        return self.sampler.sample(1, seed)[0].to(self.device)

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
        return fit_face(self, face, steps, frame, progress)

    def fit_exemplars(self) -> Tensor:
        """Return z_e+ (N, L, D) of the styles that `fit` restyles after, in their order."""
        return self.styles.extrinsic_of(self.config.fit_styles or self.styles.names)

    def fit_settings(self, steps: int | None = None) -> FitSettings:
        """Return the settings of `fit`; None takes the config's default number of steps."""
        return settings_of(self.config.defaults, self.generator, steps)

    def lpips(self) -> LPIPS:
        """Return LPIPS on the device and in the precision of the generator; it is loaded once.

        Raises:
            WeightsError: the weights are missing.
        """
        lpips = self._measuring.lpips(self.weights_dir, self.device)
        return set_compute_dtype(lpips, self.generator.compute_dtype)

    def identity(self) -> DlibFaceRecognition:
        """Return dlib's face recognition on the device of the generator; it is loaded once.

        Raises:
            WeightsError: the weights are missing.
        """
        return self._measuring.identity(self.weights_dir, self.device)

    def save_pretrained(self, folder: Path | str) -> None:
        """Write the model folder; it appears whole or not at all."""
        write_folder(
            Path(folder),
            FolderContent(
                config=self.config,
                network=self.network,
                encoder=self.encoder,
                styles=self.styles,
                sampler=self.sampler,
                card=self.card,
                licence=self.licence,
                card_images=self.card_images,
                thumbnails=self.thumbnails,
            ),
            self.weights_dir,
        )

    def push_to_hub(
        self,
        name: str,
        *,
        half: bool = False,
        message: str | None = None,
        private: bool | None = None,
        token: str | None = None,
    ) -> str:
        """Upload the model to a repository of a hub, see `hub.push`; return its new commit."""
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "model"
            self.save_pretrained(folder)
            return push(folder, name, half=half, message=message, private=private, token=token)

    @classmethod
    def from_pretrained(
        cls,
        folder: Path | str,
        *,
        device: torch.device | str = "cpu",
        weights_dir: Path | str | None = None,
        revision: str | None = None,
    ) -> PortraitModel:
        """Load a model.

        Args:
            folder: a folder made by `save_pretrained`, or a name, see `find_model`.
            device: of the networks, see `resolve_device`.
            weights_dir: face detector, landmark model, LPIPS and face recognition, for a folder
                that has no `faces/` of its own; None takes that of DUALSTYLEGAN_WEIGHTS when one of
                them is needed.
            revision: branch, tag or commit of a hub's repository.

        Raises:
            CheckpointError: nothing has the name; a file is missing, truncated, or does not fit
                the config.
            SettingsError: this machine lacks the device.
        """
        device = resolve_device(device)
        folder = find_model(folder, revision)
        content = read_folder(folder)
        model = cls(**vars(content), weights_dir=find_weights(folder, weights_dir))
        return model.to(device)


def _warn_of(sitter: Sitter) -> None:
    """Warn the caller's caller about each face that may not be recognised."""
    for face in sitter.faces:
        if face.fit.warning is not None:
            warnings.warn(face.fit.warning, stacklevel=3)
