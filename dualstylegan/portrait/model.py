"""Portrait style transfer: G(E(I), E(S), w) from a photo and the name of a style.

Legend of shape suffixes: N image, S style, L row, D style width, C channel, H height, W width.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from dualstylegan.portrait.config import PortraitConfig
from dualstylegan.portrait.face_weights import find_weights
from dualstylegan.portrait.networks import PortraitNetworks
from dualstylegan.portrait.options import RestyleOptions
from dualstylegan.portrait.restyler import Restyler
from dualstylegan.portrait.runtimes import Runtime, chosen_runtime
from dualstylegan.portrait.stores import find_model
from dualstylegan.portrait.styles import StyleLibrary

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from dualstylegan.codes.fitting import FitSettings
    from dualstylegan.codes.sampling import StyleSampler
    from dualstylegan.io.arrays import Floats
    from dualstylegan.networks.dualstylegan import DualStyleGAN
    from dualstylegan.networks.generator import Generator
    from dualstylegan.networks.identity import DlibFaceRecognition
    from dualstylegan.networks.vgg import LPIPS


class PortraitModel(Restyler):
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
        from dualstylegan.portrait.torch_networks import TorchNetworks, prepare

        self.config = config
        self.network, self.encoder = prepare(network, encoder, config.bfloat16)
        self.styles = styles
        self.sampler = sampler
        self.card = card
        self.licence = licence
        self.card_images = card_images or {}
        self.thumbnails = thumbnails or {}
        self.weights_dir = None if weights_dir is None else Path(weights_dir)
        self._torch = TorchNetworks(self)
        self.networks: PortraitNetworks = self._torch
        styles.check_shape(self.generator.rows, self.generator.style_dim)

    @property
    def generator(self) -> Generator:
        """The unconditional generator g inside G."""
        return self.network.generator

    @property
    def device(self) -> torch.device:
        """Device of the networks."""
        return self.generator.mean_w.device

    def to(self, device: torch.device | str) -> PortraitModel:
        """Move networks and codes to a device, see `resolve_device`; return the model itself."""
        from dualstylegan.networks.device import resolve_device
        from dualstylegan.networks.precision import dtype_of, set_compute_dtype

        device = resolve_device(device)
        self.network.to(device)
        set_compute_dtype(self.network, dtype_of(self.config.bfloat16, device))
        self.encoder.to(device)
        self.styles = self.styles.to(device)
        return self

    def encode(self, face_NCHW: Tensor) -> Tensor:
        """Encode aligned faces (N, 3, H, W) in [-1, 1] into Z+ codes E(I), (N, L, D), in one pass.

        `fit` with 0 steps takes the passes of the model's config.
        """
        from dualstylegan.codes.inversion import encode

        return encode(self.encoder, face_NCHW)

    def render(
        self,
        intrinsic_NLD: Tensor | Floats,
        extrinsic_NLD: Tensor | Floats | None,
        *,
        structure: float | None = None,
        color: float | None = None,
        truncation: float | None = None,
        size: int = 256,
    ) -> Tensor:
        """Render G(z_i+, z_e+, w) as (N, 3, size, size) in [-1, 1], see `render_codes`.

        Codes are in Z+, tensors or arrays; without extrinsic codes, g renders the faces. None takes
        the defaults.
        """
        from dualstylegan.portrait.rendering import map_codes, render_codes

        options = RestyleOptions(structure, color, truncation=truncation)
        return render_codes(
            self.network,
            map_codes(self.network, intrinsic_NLD),
            None if extrinsic_NLD is None else map_codes(self.network, extrinsic_NLD),
            options.row_weights(self.networks, self.config.defaults),
            truncation=options.psi(self.config.defaults),
            size=size,
        )

    def sample_style(self, seed: int) -> Tensor:
        """Draw a new style code (L, D) in Z+ from the sampler.

        Raises:
            CheckpointError: the model has no sampler.
        """
        if self.sampler is None:
            return super().sample_style(seed)
        return self.sampler.sample(1, seed)[0].to(self.device)

    def fit_exemplars(self) -> Tensor:
        """Return z_e+ (N, L, D) of the styles that `fit` restyles after, in their order."""
        return self.styles.extrinsic_of(self.config.fit_styles or self.styles.names)

    def fit_settings(self, steps: int | None = None) -> FitSettings:
        """Return the settings of `fit`; None takes the config's default number of steps."""
        from dualstylegan.portrait.face_fit import settings_of

        return settings_of(self.config.defaults, self.generator, steps)

    def lpips(self) -> LPIPS:
        """Return LPIPS on the device and in the precision of the generator; it is loaded once.

        Raises:
            WeightsError: the weights are missing.
        """
        from dualstylegan.networks.precision import set_compute_dtype

        lpips = self._torch.measuring.lpips(self.weights_dir, self.device)
        return set_compute_dtype(lpips, self.generator.compute_dtype)

    def identity(self) -> DlibFaceRecognition:
        """Return dlib's face recognition on the device of the generator; it is loaded once.

        Raises:
            WeightsError: the weights are missing.
        """
        return self._torch.measuring.identity(self.weights_dir, self.device)

    def save_pretrained(self, folder: Path | str) -> None:
        """Write the model folder; it appears whole or not at all."""
        from dualstylegan.portrait.folder import FolderContent, write_folder

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
        from dualstylegan.portrait.hub import push

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
        runtime: Runtime | None = None,
    ) -> PortraitModel:
        """Load a model.

        Args:
            folder: a folder made by `save_pretrained` or `export-onnx`, or a name, see
                `find_model`.
            device: of the networks, see `resolve_device`.
            weights_dir: face detector, landmark model, LPIPS and face recognition, for a folder
                that has no `faces/` of its own; None takes that of DUALSTYLEGAN_WEIGHTS when one of
                them is needed.
            revision: branch, tag or commit of a hub's repository.
            runtime: "torch", or "onnx", which reads and restyles photos without torch in a folder
                that `export-onnx` wrote; None: that of the folder.

        Raises:
            CheckpointError: nothing has the name; a file is missing, truncated, or does not fit
                the config; the folder is not of the runtime's form.
            SettingsError: this machine lacks the device, or torch.
        """
        folder = find_model(folder, revision)
        if chosen_runtime(folder, runtime) == "onnx":
            from dualstylegan.portrait.exported import ExportedModel

            return ExportedModel(folder, str(device), weights_dir)
        from dualstylegan.networks.device import resolve_device
        from dualstylegan.portrait.folder import read_folder

        device = resolve_device(device)
        content = read_folder(folder)
        model = cls(**vars(content), weights_dir=find_weights(folder, weights_dir))
        return model.to(device)
