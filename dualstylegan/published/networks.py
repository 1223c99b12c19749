"""The networks of an imported folder, as the stages take them: frozen, in evaluation mode.

Legend of shape suffixes: N image, C channel, H height, W width, D embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualstylegan.checkpoints import fill, load_tensors
from dualstylegan.errors import CheckpointError
from dualstylegan.losses import perceptual
from dualstylegan.networks.discriminator import Discriminator
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.ir_se50 import IRSE50
from dualstylegan.networks.psp import PublishedEncoder
from dualstylegan.networks.stylegan2 import StyleGAN2
from dualstylegan.networks.vgg19 import INPUT_PX, TAPS, VGG19
from dualstylegan.published.adapter import (
    DISCRIMINATOR_FILE,
    ENCODER_FILE,
    GENERATOR_FILE,
    IDENTITY_FILE,
    MODEL_FILE,
    VGG19_FILE,
)
from dualstylegan.published.layout import State, discriminator_of, generator_config, network_config


class PublishedPerceptual(nn.Module):
    """VGG19's taps as the published losses use them: at 256 px, weighted by stage.

    Args:
        vgg: frozen.
        weights: of the mean absolute difference at each of TAPS.
    """

    def __init__(self, vgg: VGG19, weights: Sequence[float]) -> None:
        super().__init__()
        self.vgg = vgg
        deepest = max(i for i, weight in enumerate(weights) if weight)
        self.taps = TAPS[: deepest + 1]
        self.weights = tuple(weights[: deepest + 1])

    def features(self, image_NCHW: Tensor) -> list[Tensor]:
        """Feature maps of images in [-1, 1], finest first; larger ones are averaged to 256 px."""
        if image_NCHW.shape[-1] > INPUT_PX:
            image_NCHW = F.adaptive_avg_pool2d(image_NCHW, INPUT_PX)
        maps: list[Tensor] = self.vgg(image_NCHW, self.taps)
        return maps

    def distance(self, first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
        """Perceptual distance (N,) between the images of two lists of feature maps."""
        return perceptual(first, second, self.weights)


class PublishedIdentity(nn.Module):
    """IR-SE50 on FFHQ-aligned images of any size: (N, 3, H, W) in [-1, 1] to (N, 512)."""

    def __init__(self, network: IRSE50) -> None:
        super().__init__()
        self.network = network

    def forward(self, image_NCHW: Tensor) -> Tensor:
        return self.network.embed_aligned(image_NCHW)


class ImportedFolder:
    """Loads networks out of a folder that `import_published` made; each on its own.

    Args:
        folder: the model folder.

    Every method raises CheckpointError when its file is missing or does not fit.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

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

    def generator(self, name: str = GENERATOR_FILE) -> StyleGAN2:
        """StyleGAN2: the FFHQ generator, or the adapted one."""
        state, path = self._read(name)
        network = generator_config(state, path).build()
        return cast(StyleGAN2, self._filled(network, state, path))

    def dualstylegan(self) -> DualStyleGAN:
        """DualStyleGAN: a style's, or the one after structure transfer."""
        state, path = self._read(MODEL_FILE)
        network = network_config(state, path).build()
        return cast(DualStyleGAN, self._filled(network, state, path))

    def discriminator(self) -> Discriminator:
        """The discriminator; training turns its gradients on."""
        state, path = self._read(DISCRIMINATOR_FILE)
        return cast(Discriminator, self._filled(discriminator_of(state, path), state, path))

    def encoder(self) -> PublishedEncoder:
        """The encoder into Z+."""
        state, path = self._read(ENCODER_FILE)
        rows, width = state["latent_avg"].shape if "latent_avg" in state else torch.Size((0, 1))
        network = PublishedEncoder(rows, style_dim=width)
        return cast(PublishedEncoder, self._filled(network, state, path))

    def identity(self) -> PublishedIdentity:
        """The identity loss's network."""
        state, path = self._read(IDENTITY_FILE)
        return PublishedIdentity(cast(IRSE50, self._filled(IRSE50(), state, path))).eval()

    def perceptual(self, weights: Sequence[float]) -> PublishedPerceptual:
        """VGG19's taps with the weights of a stage."""
        state, path = self._read(VGG19_FILE)
        return PublishedPerceptual(cast(VGG19, self._filled(VGG19(), state, path)), weights)
