"""The networks that the stages work with: whose they are, how they are loaded.

There are two sets with one interface: the embedded one, whose weights are downloaded and whose base
models ship with the project, and the published one, imported from the authors' files
(`published.networks.ImportedFolder`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from dualstylegan.io.checkpoints import fill, load_tensors
from dualstylegan.networks.config import (
    CONFIG_FILE,
    MODEL_FILE,
    NetworkConfig,
    read_generator_config,
    read_network_config,
)
from dualstylegan.networks.discriminator import Discriminator
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.encoder import PortraitEncoder
from dualstylegan.networks.generator import Generator
from dualstylegan.networks.identity import DlibFaceRecognition, FaceRecognition
from dualstylegan.networks.mobilestylegan import CHANNELS, MobileStyleGAN
from dualstylegan.networks.vgg import LPIPS, PerceptualNetwork

GENERATOR_FILE = "generator.safetensors"
PERCEPTUAL_FILE = "lpips_vgg16.safetensors"
IDENTITY_FILE = "identity.safetensors"
HEADS_FILE = "heads.safetensors"
ENCODER_FILE = "encoder.safetensors"
EXTRINSIC_FILE = "extrinsic.safetensors"
DISCRIMINATOR_FILE = "discriminator.safetensors"

EMBEDDED_CONFIG = NetworkConfig(res_channels=CHANNELS[0], res_hidden=40)
DISCRIMINATOR_PX = 128
DISCRIMINATOR_CHANNELS = (192, 192, 192, 160, 96, 48)

Network = TypeVar("Network", bound=nn.Module)


def freeze(network: Network) -> Network:
    """The network in evaluation mode, its weights without gradients."""
    network.requires_grad_(False)
    network.eval()
    return network


class NetworkSet(ABC):
    """The networks of the method, each loaded on its own: frozen, in evaluation mode.

    Every method raises CheckpointError when a file is missing or does not fit.
    """

    @abstractmethod
    def config(self) -> NetworkConfig:
        """From what G, and the generator inside, are built."""

    @abstractmethod
    def generator(self) -> Generator:
        """g, the generator of natural faces."""

    @abstractmethod
    def encoder(self) -> nn.Module:
        """E: aligned faces (N, 3, any, any) in [-1, 1] to Z+ codes (N, L, D)."""

    @abstractmethod
    def dualstylegan(self) -> DualStyleGAN:
        """G after structure transfer (stages 1 and 2)."""

    @abstractmethod
    def initial_dualstylegan(self) -> DualStyleGAN:
        """G after stage 1, from torch's seed."""

    @abstractmethod
    def initial_discriminator(self) -> Discriminator:
        """D that structure transfer starts with."""

    @abstractmethod
    def discriminator(self) -> Discriminator:
        """D, trained on natural faces; training turns its gradients on."""

    @abstractmethod
    def lpips(self) -> PerceptualNetwork:
        """The perceptual distance that codes are optimised by."""

    @abstractmethod
    def perceptual(self) -> PerceptualNetwork:
        """The perceptual distance and the feature maps of progressive fine-tuning."""

    @abstractmethod
    def identity(self) -> FaceRecognition:
        """Face recognition: aligned faces (N, 3, any, any) in [-1, 1] to embeddings."""


class EmbeddedNetworks(NetworkSet):
    """The embedded default.

    Args:
        weights: folder of downloaded weights; base: folder of the project's own base models.
    """

    def __init__(self, weights: Path, base: Path) -> None:
        self.weights = weights
        self.base = base

    def config(self) -> NetworkConfig:
        return EMBEDDED_CONFIG

    def generator(self) -> MobileStyleGAN:
        generator = MobileStyleGAN()
        path = self.weights / GENERATOR_FILE
        fill(generator, load_tensors(path) | load_tensors(self.base / HEADS_FILE), path)
        return freeze(generator)

    def encoder(self) -> PortraitEncoder:
        encoder = EMBEDDED_CONFIG.build_encoder()
        assert isinstance(encoder, PortraitEncoder)
        fill(encoder, load_tensors(self.base / ENCODER_FILE), self.base / ENCODER_FILE)
        encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return freeze(encoder)

    def initial_dualstylegan(self) -> DualStyleGAN:
        return DualStyleGAN(
            self.generator(), EMBEDDED_CONFIG.res_channels, EMBEDDED_CONFIG.res_hidden
        )

    def dualstylegan(self) -> DualStyleGAN:
        network = self.initial_dualstylegan()
        generator = {f"generator.{k}": v for k, v in network.generator.state_dict().items()}
        path = self.base / EXTRINSIC_FILE
        fill(network, generator | load_tensors(path), path)
        return freeze(network)

    def initial_discriminator(self) -> Discriminator:
        return Discriminator(DISCRIMINATOR_PX, channels=DISCRIMINATOR_CHANNELS)

    def discriminator(self) -> Discriminator:
        discriminator = self.initial_discriminator()
        path = self.base / DISCRIMINATOR_FILE
        fill(discriminator, load_tensors(path), path)
        return discriminator

    def lpips(self) -> LPIPS:
        return load_perceptual(self.weights)

    def perceptual(self) -> LPIPS:
        return load_perceptual(self.weights)

    def identity(self) -> DlibFaceRecognition:
        return load_identity(self.weights)


def load_perceptual(weights: Path) -> LPIPS:
    """LPIPS v0.1 on VGG16."""
    perceptual = LPIPS()
    fill(perceptual, load_tensors(weights / PERCEPTUAL_FILE), weights / PERCEPTUAL_FILE)
    return freeze(perceptual)


def load_identity(weights: Path) -> DlibFaceRecognition:
    """The face recognition network of the embedded default."""
    identity = DlibFaceRecognition()
    fill(identity, load_tensors(weights / IDENTITY_FILE), weights / IDENTITY_FILE)
    return freeze(identity)


def load_trained_generator(folder: Path) -> Generator:
    """g' as the stage `adapt` wrote it: config.json and model.safetensors."""
    generator = read_generator_config(folder / CONFIG_FILE).build()
    fill(generator, load_tensors(folder / MODEL_FILE), folder / MODEL_FILE)
    return freeze(generator)


def load_trained_dualstylegan(folder: Path) -> tuple[DualStyleGAN, NetworkConfig]:
    """G as the stage `finetune` wrote it: config.json and model.safetensors."""
    config = read_network_config(folder / CONFIG_FILE)
    network = config.build()
    fill(network, load_tensors(folder / MODEL_FILE), folder / MODEL_FILE)
    return freeze(network), config
