"""Portrait style transfer: G(E(I), E(S), w) from a photo and the name of a style.

Legend of shape suffixes: N image, S style, L row, D style width, C channel, H height, W width.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor, nn

from dualstylegan.codes.fitting import FitNetworks, FitSettings, fit, likeness
from dualstylegan.errors import CheckpointError, SettingsError
from dualstylegan.io.images import tensor_to_image
from dualstylegan.networks.device import resolve_device
from dualstylegan.networks.loading import (
    IDENTITY_FILE,
    PERCEPTUAL_FILE,
    channels_last,
    load_identity,
    load_perceptual,
)
from dualstylegan.networks.masks import framed_image
from dualstylegan.networks.precision import dtype_of, set_compute_dtype
from dualstylegan.portrait.config import PortraitConfig, check_options
from dualstylegan.portrait.face_weights import (
    FACE_FILES,
    find_weights,
    has_weights,
    require_weights,
)
from dualstylegan.portrait.folder import FolderContent, read_folder, write_folder
from dualstylegan.portrait.result import FaceFit, result_facts
from dualstylegan.portrait.sizes import centre_square, render_size
from dualstylegan.portrait.styles import StyleLibrary

if TYPE_CHECKING:
    from dualstylegan.codes.sampling import StyleSampler
    from dualstylegan.faces.align import AlignedFace
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
        card: text of MODEL_CARD.md.
        card_image: JPEG file that the card shows; None: none.
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
        card_image: bytes | None = None,
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
        self.card_image = card_image
        self.thumbnails = thumbnails or {}
        self.weights_dir = None if weights_dir is None else Path(weights_dir)
        self._lpips: LPIPS | None = None
        self._identity: DlibFaceRecognition | None = None
        self._check_codes()

    def _check_codes(self) -> None:
        generator = self.generator
        expected = (len(self.styles.names), generator.rows, generator.style_dim)
        for codes in (self.styles.extrinsic_SLD, self.styles.intrinsic_SLD):
            if tuple(codes.shape) != expected:
                raise CheckpointError(
                    "style codes do not fit the model", value=tuple(codes.shape), limit=expected
                )

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

    def to(self, device: torch.device | str) -> PortraitModel:
        """Move networks and codes to a device, see `resolve_device`; return the model itself."""
        device = resolve_device(device)
        self._lpips = self._identity = None
        self.network.to(device)
        self.encoder.to(device)
        self.styles = replace(
            self.styles,
            extrinsic_SLD=self.styles.extrinsic_SLD.to(device),
            intrinsic_SLD=self.styles.intrinsic_SLD.to(device),
        )
        return self

    @torch.no_grad()
    def encode(self, face_NCHW: Tensor) -> Tensor:
        """Encode aligned faces (N, 3, H, W) in [-1, 1] into Z+ codes E(I), (N, L, D), in one pass.

        `fit` with 0 steps takes the passes of the model's config.
        """
        codes: Tensor = self.encoder(face_NCHW)
        return codes

    @torch.no_grad()
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
        """Render G(z_i+, z_e+, w) as (N, 3, size, size) in [-1, 1], image by image.

        A linear layer multiplies one row by another kernel than several, and the last bits that it
        changes in a modulation decide about roundings to bfloat16. One at a time, a code gives the
        same bits in any batch.

        Args:
            intrinsic_NLD, extrinsic_NLD: Z+ codes; without extrinsic codes, g renders the face.
            structure, color, truncation: None takes the config's defaults.
            size: pixels; the network renders its next larger size, which is then reduced.
        """
        defaults = self.config.defaults
        rendered = render_size(self.generator, size)
        weights = self.network.weights(
            defaults.structure if structure is None else structure,
            defaults.color if color is None else color,
        )
        psi = defaults.truncation if truncation is None else truncation
        images = [
            self.network(
                intrinsic_NLD[i : i + 1],
                None if extrinsic_NLD is None else self.generator.map(extrinsic_NLD[i : i + 1]),
                weights,
                space="z_plus",
                size=rendered,
                truncation=psi,
            )
            for i in range(len(intrinsic_NLD))
        ]
        image = torch.cat(images)
        if rendered != size:
            image = nn.functional.interpolate(image, (size, size), mode="bilinear", antialias=True)
        clipped: Tensor = image.clamp(-1, 1)
        return clipped

    def transfer(
        self,
        image: Image.Image,
        style: str | Tensor,
        *,
        structure: float | None = None,
        color: float | None = None,
        preserve_color: bool = False,
        truncation: float | None = None,
        size: int = 256,
        align: bool = True,
        paste: bool = False,
        fit_steps: int | None = None,
    ) -> Image.Image:
        """Restyle the face of a photo.

        Args:
            image: a photo, or an aligned face if `align` is off.
            style: name of a style, or a Z+ style code (L, D) such as `sample_style` gives.
            structure: weight of the structure rows: 0 keeps the face's shapes, 1 takes the
                exemplar's; None: the config's default, as for all options below.
            color: weight of the colour rows: 0 keeps the face's colours, 1 takes the exemplar's.
            preserve_color: feed the face's own codes to the colour path in place of the
                exemplar's: the style's rendering in the photo's palette.
            truncation: psi for the face's code; below 1 it moves towards the mean face.
            size: side of the result in pixels, 64 to 1024.
            align: find the face and crop it as FFHQ does; False takes the centre square.
            paste: put the result back into the photo; needs `align`.
            fit_steps: optimisation steps that fit the face's code; 0: the encoder alone.

        Returns:
            The result; its `info` holds the facts of its making, see `result_facts`.

        Warns:
            LikenessWarning: the face's code renders a face that may not be recognised.

        Raises:
            SettingsError: an unknown style, or a value out of its bounds.
            FaceError: no usable face.
            WeightsError: the face models, LPIPS or face recognition are missing.
        """
        check_options(
            structure=structure, color=color, truncation=truncation, size=size, fit_steps=fit_steps
        )
        if paste and not align:
            raise SettingsError("pasting back needs the alignment", fix="leave `align` on")
        extrinsic_LD = (
            self.styles.extrinsic_of([style])[0] if isinstance(style, str) else style
        ).to(self.device)
        photo = image.convert("RGB")
        aligned = self.align(photo) if align else None
        face = aligned.image if aligned is not None else centre_square(photo)
        fitted = self.fit(face, fit_steps, None if aligned is None else aligned.frame)
        code_LD = fitted.code_LD
        if preserve_color:
            rows = self.generator.structure_rows
            extrinsic_LD = torch.cat((extrinsic_LD[:rows], code_LD[rows:]))
        picture = self.render(
            code_LD[None],
            extrinsic_LD[None],
            structure=structure,
            color=color,
            truncation=truncation,
            size=size,
        )
        result = tensor_to_image(picture[0])
        if paste and aligned is not None:
            from dualstylegan.faces.paste import paste_back

            result = paste_back(photo, result, aligned.quad)
        name = self.styles.name(style) if isinstance(style, str) else None
        weights = {"structure": structure, "color": color, "truncation": truncation}
        for key, fact in result_facts(self.config, name, weights, preserve_color, fitted).items():
            result.info[key] = fact
        if fitted.warning is not None:
            warnings.warn(fitted.warning, stacklevel=2)
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
        """Cut the largest face out of an RGB photo, at the size that the model was trained on.

        Raises:
            FaceError: no usable face.
            WeightsError: the face models are missing.
        """
        from dualstylegan.faces.align import align_face

        weights = require_weights(self.weights_dir, *FACE_FILES)
        return align_face(photo, self.config.defaults.crop_px, weights_dir=weights)

    def fit(
        self, face: Image.Image, steps: int | None = None, frame: Array | None = None
    ) -> FaceFit:
        """Fit a Z+ code to an aligned face, and measure its likeness to the face.

        Args:
            face: a square FFHQ crop.
            steps: optimisation steps after the encoder; None takes the config's default, 0 keeps
                the encoder's code.
            frame: frame (4, 2) of the photo in the crop, as `AlignedFace` has it; what lies
                outside does not count. None: all is inside.

        Raises:
            WeightsError: LPIPS, or face recognition where it takes part, is missing.
        """
        settings = self.fit_settings(steps)
        pixels = max(settings.size, self.config.network.encoder_px)
        image, mask = framed_image(face, frame, pixels, self.device)
        measured = settings.needs_identity or has_weights(self.weights_dir, IDENTITY_FILE)
        identity = self.identity() if measured else None
        networks = FitNetworks(
            self.generator,
            self.encoder,
            self.lpips() if settings.steps else None,
            identity,
            self.network,
            self.fit_exemplars(),
        )
        code_NLD = fit(networks, image, settings, mask_N1HW=mask).code_NLD
        similar = None
        if identity is not None:
            (similarity,) = likeness(self.generator, identity, code_NLD, image, settings.size, mask)
            similar = float(similarity)
        return FaceFit(code_NLD[0], settings.steps, similar, self.config.defaults.fit_likeness_line)

    def fit_exemplars(self) -> Tensor:
        """Return z_e+ (N, L, D) of the styles that `fit` restyles after, in their order."""
        return self.styles.extrinsic_of(self.config.fit_styles or self.styles.names)

    def fit_settings(self, steps: int | None = None) -> FitSettings:
        """Return the settings of `fit`; None takes the config's default number of steps."""
        defaults = self.config.defaults
        return FitSettings(
            size=self.generator.size_up_to(defaults.fit_px),
            steps=defaults.fit_steps if steps is None else steps,
            passes=defaults.fit_passes,
            rate=defaults.fit_rate,
            pixel_weight=defaults.fit_pixel_weight,
            identity_weight=defaults.fit_identity_weight,
            restyled_weight=defaults.fit_restyled_weight,
            structure=defaults.structure,
            color=defaults.color,
        )

    def lpips(self) -> LPIPS:
        """Return LPIPS on the device and in the precision of the generator; it is loaded once.

        Raises:
            WeightsError: the weights are missing.
        """
        if self._lpips is None:
            lpips = load_perceptual(require_weights(self.weights_dir, PERCEPTUAL_FILE))
            self._lpips = lpips.to(self.device)
        return set_compute_dtype(self._lpips, self.generator.compute_dtype)

    def identity(self) -> DlibFaceRecognition:
        """Return dlib's face recognition on the device of the generator; it is loaded once.

        Raises:
            WeightsError: the weights are missing.
        """
        if self._identity is None:
            identity = load_identity(require_weights(self.weights_dir, IDENTITY_FILE))
            self._identity = identity.to(self.device)
        return self._identity

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
                card_image=self.card_image,
                thumbnails=self.thumbnails,
            ),
            self.weights_dir,
        )

    @classmethod
    def from_pretrained(
        cls,
        folder: Path | str,
        *,
        device: torch.device | str = "cpu",
        weights_dir: Path | str | None = None,
    ) -> PortraitModel:
        """Load a model folder.

        Args:
            folder: made by `save_pretrained`.
            device: of the networks, see `resolve_device`.
            weights_dir: face detector, landmark model, LPIPS and face recognition, for a folder
                that has no `faces/` of its own; None takes that of DUALSTYLEGAN_WEIGHTS when one of
                them is needed.

        Raises:
            CheckpointError: a file is missing, truncated, or does not fit the config.
            SettingsError: this machine lacks the device.
        """
        device = resolve_device(device)
        folder = Path(folder)
        content = read_folder(folder)
        model = cls(
            content.config,
            content.network,
            content.encoder,
            content.styles,
            sampler=content.sampler,
            card=content.card,
            card_image=content.card_image,
            thumbnails=content.thumbnails,
            weights_dir=find_weights(folder, weights_dir),
        )
        return model.to(device)
