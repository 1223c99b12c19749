"""Network sets: abstract interface, the embedded set, and loaders of trained networks.

Two sets share the interface: the embedded one, with downloaded weights and the project's own base
models, and the one imported from the authors' files (`published.networks.ImportedFolder`).
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
    IDENTITY_FILE,
    MODEL_FILE,
    PERCEPTUAL_FILE,
    NetworkConfig,
    read_generator_config,
    read_network_config,
)
from dualstylegan.networks.discriminator import Discriminator
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.encoder import PortraitEncoder, with_passes
from dualstylegan.networks.facenet import FaceNet
from dualstylegan.networks.generator import Generator
from dualstylegan.networks.identity import DlibFaceRecognition, FaceRecognition
from dualstylegan.networks.mobilestylegan import CHANNELS, MobileStyleGAN
from dualstylegan.networks.vgg import LPIPS, PerceptualNetwork

GENERATOR_FILE = "generator.safetensors"
FACENET_FILE = "facenet.safetensors"
HEADS_FILE = "heads.safetensors"
ENCODER_FILE = "encoder.safetensors"
EXTRINSIC_FILE = "extrinsic.safetensors"
DISCRIMINATOR_FILE = "discriminator.safetensors"

EMBEDDED_CONFIG = NetworkConfig(res_channels=CHANNELS[0], res_hidden=40, tone_rank=64)
DISCRIMINATOR_PX = 128
DISCRIMINATOR_CHANNELS = (192, 192, 192, 160, 96, 48)

Network = TypeVar("Network", bound=nn.Module)


def freeze(network: Network) -> Network:
    """Put a network in evaluation mode and turn off its gradients; return it."""
    network.requires_grad_(False)
    network.eval()
    return network


def channels_last(network: Network) -> Network:
    """Lay the weights out channels last, as convolutions use them; return the network."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


class NetworkSet(ABC):
    """Abstract set of the method's networks, each loaded by its own method.

    Networks are frozen and in evaluation mode where nothing else is said. Every method raises
    CheckpointError if a file is missing or does not fit.
    """

    @abstractmethod
    def config(self) -> NetworkConfig:
        """Return the config of G and of the generator inside."""

    @abstractmethod
    def generator(self) -> Generator:
        """Load g, the generator of natural faces."""

    @abstractmethod
    def encoder(self) -> nn.Module:
        """Load E: aligned faces (N, 3, any, any) in [-1, 1] to Z+ codes (N, L, D)."""

    @abstractmethod
    def dualstylegan(self) -> DualStyleGAN:
        """Load G after structure transfer (stages 1 and 2)."""

    @abstractmethod
    def initial_dualstylegan(self) -> DualStyleGAN:
        """Build G as stage 1 initialises it, from torch's seed; not frozen."""

    @abstractmethod
    def initial_discriminator(self) -> Discriminator:
        """Build or load the D with which structure transfer starts; not frozen."""

    @abstractmethod
    def discriminator(self) -> Discriminator:
        """Load D, trained on natural faces; not frozen."""

    @abstractmethod
    def lpips(self) -> PerceptualNetwork:
        """Load the perceptual distance under which codes are optimised."""

    @abstractmethod
    def perceptual(self) -> PerceptualNetwork:
        """Load the perceptual distance and feature maps of progressive fine-tuning."""

    @abstractmethod
    def identity(self) -> FaceRecognition:
        """Load face recognition: aligned faces (N, 3, any, any) in [-1, 1] to embeddings."""


class EmbeddedNetworks(NetworkSet):
    """Embedded set: MobileStyleGAN, the project's base models, LPIPS and dlib's recognition.

    Args:
        weights: folder of the downloaded weights.
        base: folder of the project's base models.
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
        encoder = load_encoder(EMBEDDED_CONFIG, self.base / ENCODER_FILE)
        assert isinstance(encoder, PortraitEncoder)
        return encoder

    def initial_dualstylegan(self) -> DualStyleGAN:
        return EMBEDDED_CONFIG.around(self.generator())

    def dualstylegan(self) -> DualStyleGAN:
        return load_extrinsic(self.initial_dualstylegan(), self.base / EXTRINSIC_FILE)

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


def load_extrinsic(network: DualStyleGAN, path: Path) -> DualStyleGAN:
    """Load the extrinsic path of an initial network and freeze it (CheckpointError)."""
    generator = {f"generator.{k}": v for k, v in network.generator.state_dict().items()}
    fill(network, generator | load_tensors(path), path)
    return freeze(network)


def load_encoder(config: NetworkConfig, path: Path) -> nn.Module:
    """Load E of a config, for one or several passes; channels last (CheckpointError)."""
    encoder = config.build_encoder()
    tensors = load_tensors(path)
    if isinstance(encoder, PortraitEncoder):
        tensors = with_passes(tensors, encoder.state_dict())
    fill(encoder, tensors, path)
    return freeze(channels_last(encoder))


def load_perceptual(weights: Path) -> LPIPS:
    """Load LPIPS v0.1 on VGG16 (CheckpointError)."""
    perceptual = LPIPS()
    fill(perceptual, load_tensors(weights / PERCEPTUAL_FILE), weights / PERCEPTUAL_FILE)
    return freeze(perceptual)


def load_identity(weights: Path) -> DlibFaceRecognition:
    """Load dlib's face recognition network (CheckpointError)."""
    identity = DlibFaceRecognition()
    fill(identity, load_tensors(weights / IDENTITY_FILE), weights / IDENTITY_FILE)
    return freeze(identity)


def load_facenet(weights: Path) -> FaceNet:
    """Load FaceNet, the identity network of the evaluation (CheckpointError)."""
    facenet = FaceNet()
    fill(facenet, load_tensors(weights / FACENET_FILE), weights / FACENET_FILE)
    return freeze(facenet)


def load_trained_generator(folder: Path) -> Generator:
    """Load g' from config.json and model.safetensors in a folder (CheckpointError)."""
    generator = read_generator_config(folder / CONFIG_FILE).build()
    fill(generator, load_tensors(folder / MODEL_FILE), folder / MODEL_FILE)
    return freeze(generator)


def load_trained_dualstylegan(folder: Path) -> tuple[DualStyleGAN, NetworkConfig]:
    """Load G and its config from config.json and model.safetensors (CheckpointError)."""
    config = read_network_config(folder / CONFIG_FILE)
    network = config.build()
    fill(network, load_tensors(folder / MODEL_FILE), folder / MODEL_FILE)
    return freeze(network), config
