"""Networks of an imported folder for the stages: frozen, in evaluation mode.

Legend of shape suffixes: N image, C channel, H height, W width, D embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from dualstylegan.errors import CheckpointError
from dualstylegan.io.checkpoints import fill, load_tensors
from dualstylegan.losses import perceptual
from dualstylegan.networks.config import MODEL_FILE, NetworkConfig
from dualstylegan.networks.discriminator import Discriminator
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.identity import FaceRecognition
from dualstylegan.networks.ir_se50 import IRSE50
from dualstylegan.networks.loading import NetworkSet, channels_last, load_perceptual
from dualstylegan.networks.psp import PublishedEncoder
from dualstylegan.networks.stylegan2 import StyleGAN2
from dualstylegan.networks.vgg import LPIPS, PerceptualNetwork, downsampled
from dualstylegan.networks.vgg19 import INPUT_PX, STAGE_2_WEIGHTS, TAPS, VGG19
from dualstylegan.published.layout import (
    DISCRIMINATOR_FILE,
    ENCODER_FILE,
    GENERATOR_FILE,
    IDENTITY_FILE,
    VGG19_FILE,
    State,
    discriminator_of,
    generator_config,
    network_config,
)


class PublishedPerceptual(PerceptualNetwork):
    """Perceptual loss of the published code: VGG19's taps at 256 px, weighted by stage.

    Args:
        vgg: frozen.
        weights: weights of the mean absolute differences at TAPS.
    """

    def __init__(self, vgg: VGG19, weights: Sequence[float]) -> None:
        super().__init__()
        self.vgg = vgg
        deepest = max(i for i, weight in enumerate(weights) if weight)
        self.weights = tuple(weights[: deepest + 1])

    def features(self, image_NCHW: Tensor, stages: int | None = None) -> list[Tensor]:
        taps = TAPS[: stages or len(self.weights)]
        maps: list[Tensor] = self.vgg(downsampled(image_NCHW, INPUT_PX), taps)
        return maps

    def distance(self, first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
        return perceptual(first, second, self.weights)


class PublishedIdentity(FaceRecognition):
    """Face recognition by IR-SE50: unit embeddings of width 512; distance 1 - cosine."""

    def __init__(self, network: IRSE50) -> None:
        super().__init__()
        self.network = network

    def forward(self, image_NCHW: Tensor) -> Tensor:
        return self.network.embed_aligned(image_NCHW)

    def distance(self, first_NE: Tensor, second_NE: Tensor) -> Tensor:
        return 1 - (first_NE * second_NE).sum(-1)


class ImportedFolder(NetworkSet):
    """Networks of a folder that `import_published` made.

    Args:
        folder: the model folder.
        weights: folder of downloaded weights; LPIPS is taken from there.
    """

    def __init__(self, folder: Path | str, weights: Path | str) -> None:
        self.folder = Path(folder)
        self.weights = Path(weights)

    def _read(self, name: str) -> tuple[State, Path]:
        path = self.folder / name
        if not path.is_file():
            raise CheckpointError(
                "not among the imported files",
                file=path,
                fix="import it with `dualstylegan import-published`",
            )
        return load_tensors(path), path

    def _filled(self, network: nn.Module, state: State, path: Path) -> nn.Module:
        fill(network, state, path)
        return network.eval().requires_grad_(False)

    def config(self) -> NetworkConfig:
        if (self.folder / MODEL_FILE).is_file():
            found = network_config(*self._read(MODEL_FILE))
        else:
            state, path = self._read(GENERATOR_FILE)
            width = len(state["conv1.activate.bias"])
            found = NetworkConfig(generator=generator_config(state, path), res_channels=width)
        return found.model_copy(update={"encoder": "psp"})

    def generator(self) -> StyleGAN2:
        state, path = self._read(GENERATOR_FILE)
        network = generator_config(state, path).build()
        return cast(StyleGAN2, self._filled(network, state, path))

    def dualstylegan(self) -> DualStyleGAN:
        state, path = self._read(MODEL_FILE)
        network = network_config(state, path).build()
        return cast(DualStyleGAN, self._filled(network, state, path))

    def initial_dualstylegan(self) -> DualStyleGAN:
        config = self.config()
        return config.around(self.generator())

    def initial_discriminator(self) -> Discriminator:
        return self.discriminator()

    def discriminator(self) -> Discriminator:
        state, path = self._read(DISCRIMINATOR_FILE)
        return cast(Discriminator, self._filled(discriminator_of(state, path), state, path))

    def encoder(self) -> PublishedEncoder:
        state, path = self._read(ENCODER_FILE)
        rows, width = state["latent_avg"].shape if "latent_avg" in state else torch.Size((0, 1))
        network = PublishedEncoder(rows, style_dim=width)
        return channels_last(cast(PublishedEncoder, self._filled(network, state, path)))

    def identity(self) -> PublishedIdentity:
        state, path = self._read(IDENTITY_FILE)
        return PublishedIdentity(cast(IRSE50, self._filled(IRSE50(), state, path))).eval()

    def lpips(self) -> LPIPS:
        return load_perceptual(self.weights)

    def perceptual(self) -> PublishedPerceptual:
        """Load VGG19's taps, weighted as in structure transfer; stage 3 has weights of its own."""
        state, path = self._read(VGG19_FILE)
        vgg = cast(VGG19, self._filled(VGG19(), state, path))
        return PublishedPerceptual(vgg, STAGE_2_WEIGHTS)
