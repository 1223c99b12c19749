"""Portrait style transfer for people: a photo and a style's name in, G(E(I), E(S), w) out.

Legend of shape suffixes: N image, S style, L row, D style width, C channel, H height, W width.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor, nn

from dualstylegan.codes.sampling import SAMPLER_FILE, StyleSampler
from dualstylegan.errors import CheckpointError, SettingsError
from dualstylegan.io.checkpoints import fill, load_tensors, save_tensors
from dualstylegan.io.files import atomic_directory, write_bytes, write_json, write_text
from dualstylegan.io.images import image_to_tensor, tensor_to_image
from dualstylegan.networks.config import CONFIG_FILE, MODEL_FILE
from dualstylegan.networks.device import resolve_device
from dualstylegan.portrait.config import PortraitConfig, read_config
from dualstylegan.portrait.styles import StyleLibrary

if TYPE_CHECKING:
    from dualstylegan.faces.align import AlignedFace
    from dualstylegan.networks.dualstylegan import DualStyleGAN
    from dualstylegan.networks.generator import Generator

ENCODER_FILE = "encoder.safetensors"
STYLES_FILE = "styles.safetensors"
CARD_FILE = "MODEL_CARD.md"
THUMBNAILS = "thumbnails"
DEFAULT_WEIGHTS = Path("data/weights")
SIZE_LIMITS = (64, 1024)
ENCODER_PX = 256
FIT_PX = 128
FIT_RATE = 0.1
FIT_PIXEL_WEIGHT = 0.2


class PortraitModel:
    """Everything that is needed to restyle a portrait.

    Args:
        config: schema, see `model_config`.
        network: DualStyleGAN, whose state must fit the config.
        encoder: E, aligned faces to Z+ codes.
        styles: the named exemplars.
        sampler: draws new style codes; optional.
        card: text of MODEL_CARD.md.
        thumbnails: small picture of each style, by name; may lack some.
        weights_dir: where the face detector and landmark model lie.
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
        thumbnails: dict[str, bytes] | None = None,
        weights_dir: Path | str = DEFAULT_WEIGHTS,
    ) -> None:
        self.config = config
        self.network = network.eval().requires_grad_(False)
        # one memory format whoever made the encoder: a loaded model then gives the same bits
        self.encoder = channels_last(encoder.eval().requires_grad_(False))
        self.styles = styles
        self.sampler = sampler
        self.card = card
        self.thumbnails = thumbnails or {}
        self.weights_dir = Path(weights_dir)
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
        """Where the networks are."""
        return self.generator.mean_w.device

    def to(self, device: torch.device | str) -> PortraitModel:
        """Move networks and codes to a device, see `resolve_device`; return the model itself."""
        device = resolve_device(device)
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
        """E(I): aligned faces in [-1, 1] to Z+ codes (N, L, D)."""
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
        """G(z_i+, z_e+, w) as (N, 3, size, size) in [-1, 1].

        Args:
            intrinsic_NLD, extrinsic_NLD: Z+ codes; no extrinsic code gives the plain face.
            structure, color, truncation: the config's defaults when None.
            size: pixels; the network renders the next size it has, which is then reduced.
        """
        defaults = self.config.defaults
        rendered = render_size(self.generator, size)
        image: Tensor = self.network(
            intrinsic_NLD,
            None if extrinsic_NLD is None else self.generator.map(extrinsic_NLD),
            self.network.weights(
                defaults.structure if structure is None else structure,
                defaults.color if color is None else color,
            ),
            space="z_plus",
            size=rendered,
            truncation=defaults.truncation if truncation is None else truncation,
        )
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
        fit_steps: int = 0,
    ) -> Image.Image:
        """Restyle the face of a photo.

        Args:
            image: a photo, or an aligned face if `align` is off.
            style: name of a style, or a Z+ style code (L, D) such as `sample_style` gives.
            structure: 0 keeps the face's own shapes, 1 takes the exemplar's.
            color: 0 keeps the face's own colours and textures, 1 takes the exemplar's.
            preserve_color: run the face's colour codes through the trained colour path in place
                of the exemplar's: the style's rendering, the photo's palette.
            truncation: psi for the face's code; below 1 pulls it towards the mean face.
            size: pixels of the result, 64 to 1024.
            align: find the face and crop it as FFHQ does; off takes the centre square.
            paste: put the result back into the photo; needs `align`.
            fit_steps: steps of the fit, the optimisation of the code after the encoder; 0: the
                encoder's code.

        Raises:
            SettingsError: an unknown style, or a value out of its bounds.
            FaceError: no usable face.
        """
        check_options(structure, color, truncation, size, fit_steps)
        if paste and not align:
            raise SettingsError("pasting back needs the alignment", fix="leave `align` on")
        extrinsic_LD = (
            self.styles.extrinsic_of([style])[0] if isinstance(style, str) else style
        ).to(self.device)
        photo = image.convert("RGB")
        aligned = self._align(photo, max(size, 256)) if align else None
        face = aligned.image if aligned is not None else centre_square(photo)
        code_LD = self._fit(face, fit_steps)
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

            return paste_back(photo, result, aligned.quad)
        return result

    def sample_style(self, seed: int) -> Tensor:
        """A new style code (L, D) in Z+, drawn by the sampler.

        Raises:
            CheckpointError: the model has no sampler.
        """
        if self.sampler is None:
            raise CheckpointError("the model has no style sampler", fix="package it with one")
        return self.sampler.sample(1, seed)[0].to(self.device)

    def _align(self, photo: Image.Image, size: int) -> AlignedFace:
        from dualstylegan.faces.align import align_face

        return align_face(photo, size, weights_dir=self.weights_dir)

    def _fit(self, face: Image.Image, fit_steps: int) -> Tensor:
        """Fit a Z+ code (L, D) to an aligned face: the encoder's code, then inversion.

        Inversion pulls the face that g renders towards the photo (LPIPS and pixels).
        """
        start_NLD = self.encode(image_to_tensor(face, ENCODER_PX)[None].to(self.device))
        if fit_steps == 0:
            return start_NLD[0]
        from dualstylegan.codes.inversion import OptimizationSchedule, invert
        from dualstylegan.networks.loading import load_perceptual

        sizes = self.generator.output_sizes
        size = max((px for px in sizes if px <= FIT_PX), default=min(sizes))
        found = invert(
            self.generator,
            load_perceptual(self.weights_dir).to(self.device),
            image_to_tensor(face, size)[None].to(self.device),
            start_NLD,
            OptimizationSchedule(fit_steps),
            space="z_plus",
            rate=FIT_RATE,
            pixel_weight=FIT_PIXEL_WEIGHT,
        )
        return found.latents[0][0]

    def save_pretrained(self, folder: Path | str) -> None:
        """Write the model folder; it appears whole or not at all."""
        with atomic_directory(folder) as out:
            write_json(out / CONFIG_FILE, self.config.model_dump(mode="json"))
            save_tensors(out / MODEL_FILE, self.network.state_dict())
            save_tensors(out / ENCODER_FILE, self.encoder.state_dict())
            codes = {
                "extrinsic": self.styles.extrinsic_SLD,
                "intrinsic": self.styles.intrinsic_SLD.clone(),  # may be the same tensor
            }
            save_tensors(out / STYLES_FILE, codes)
            if self.sampler is not None:
                self.sampler.save(out / SAMPLER_FILE)
            write_text(out / CARD_FILE, self.card)
            (out / THUMBNAILS).mkdir()
            for name, data in self.thumbnails.items():
                write_bytes(out / THUMBNAILS / f"{name}.jpg", data)

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
            weights_dir: face detector and landmarks; by default `faces/` in the folder, if there
                is one, else data/weights.

        Raises:
            SettingsError: this machine lacks the device.
            CheckpointError: a file is missing, truncated, or does not fit the config.
        """
        device = resolve_device(device)
        folder = Path(folder)
        config = read_config(folder)
        network = config.network.build()
        fill(network, load_tensors(folder / MODEL_FILE), folder / MODEL_FILE)
        encoder = config.network.build_encoder()
        fill(encoder, load_tensors(folder / ENCODER_FILE), folder / ENCODER_FILE)
        codes = load_tensors(folder / STYLES_FILE)
        if set(codes) != {"extrinsic", "intrinsic"}:
            raise CheckpointError(
                "not a table of style codes", file=folder / STYLES_FILE, value=sorted(codes)
            )
        bundled = folder / "faces"
        if weights_dir is None:
            weights_dir = bundled if bundled.is_dir() else DEFAULT_WEIGHTS
        card = folder / CARD_FILE
        pictures = sorted((folder / THUMBNAILS).glob("*.jpg"))
        model = cls(
            config,
            network,
            encoder,
            StyleLibrary(config.styles, codes["extrinsic"], codes["intrinsic"]),
            sampler=_load_sampler(config, folder),
            card=card.read_text() if card.is_file() else "",
            thumbnails={path.stem: path.read_bytes() for path in pictures},
            weights_dir=weights_dir,
        )
        return model.to(device)


def render_size(generator: Generator, size: int) -> int:
    """The smallest size that the generator renders and that is no smaller than `size`."""
    enough = [px for px in generator.output_sizes if px >= size]
    if not enough:
        raise SettingsError(
            "the model's pictures are smaller than that",
            value=f"{size} px",
            limit=f"{max(generator.output_sizes)} px",
        )
    return min(enough)


def centre_square(image: Image.Image) -> Image.Image:
    """The largest square in the middle of an image."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def check_options(
    structure: float | None,
    color: float | None,
    truncation: float | None,
    size: int,
    fit_steps: int,
) -> None:
    """Refuse values out of their bounds (SettingsError)."""
    bounds = {
        "structure": (structure, 0, 1),
        "color": (color, 0, 1),
        "truncation": (truncation, 0, 1),
        "size": (size, *SIZE_LIMITS),
        "fit_steps": (fit_steps, 0, 1000),
    }
    for name, (value, low, high) in bounds.items():
        if value is not None and not low <= value <= high:
            raise SettingsError(f"{name} is out of bounds", value=value, limit=f"{low} to {high}")


def channels_last(network: nn.Module) -> nn.Module:
    """The network with its weights in the memory format that convolutions like best."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def _load_sampler(config: PortraitConfig, folder: Path) -> StyleSampler | None:
    if not config.has_sampler:
        return None
    return StyleSampler.load(folder / SAMPLER_FILE)
