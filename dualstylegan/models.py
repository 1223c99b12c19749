"""The embedded networks as the stages use them: loaded, frozen, in evaluation mode.

Weights come from two folders: the downloaded ones (`data/weights`) and the base models that the
project trained itself (`data/base`). Training profiles of other generators use the same networks
with other files.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from dualstylegan.checkpoints import fill, load_tensors
from dualstylegan.networks.discriminator import Discriminator
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.encoder import PortraitEncoder
from dualstylegan.networks.generator import Generator
from dualstylegan.networks.identity import IdentityNetwork
from dualstylegan.networks.mobilestylegan import CHANNELS, MobileStyleGAN
from dualstylegan.networks.vgg import LPIPS

GENERATOR_FILE = "generator.safetensors"
PERCEPTUAL_FILE = "lpips_vgg16.safetensors"
IDENTITY_FILE = "identity.safetensors"
HEADS_FILE = "heads.safetensors"
ENCODER_FILE = "encoder.safetensors"
EXTRINSIC_FILE = "extrinsic.safetensors"
DISCRIMINATOR_FILE = "discriminator.safetensors"

MOD_RES_HIDDEN = 40
DISCRIMINATOR_PX = 128
DISCRIMINATOR_CHANNELS = (192, 192, 192, 160, 96, 48)

Network = TypeVar("Network", bound=nn.Module)


def frozen(network: Network) -> Network:
    """The network in evaluation mode, its weights without gradients."""
    network.requires_grad_(False)
    network.eval()
    return network


def load_generator(weights: Path, base: Path) -> MobileStyleGAN:
    """The embedded generator with its RGB heads."""
    generator = MobileStyleGAN()
    tensors = load_tensors(weights / GENERATOR_FILE) | load_tensors(base / HEADS_FILE)
    fill(generator, tensors, weights / GENERATOR_FILE)
    return frozen(generator)


def load_encoder(base: Path, generator: Generator) -> PortraitEncoder:
    """The encoder into Z+ that belongs to `generator`."""
    encoder = PortraitEncoder(generator.rows, generator.structure_rows, generator.style_dim)
    fill(encoder, load_tensors(base / ENCODER_FILE), base / ENCODER_FILE)
    encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return frozen(encoder)


def load_dualstylegan(weights: Path, base: Path) -> DualStyleGAN:
    """The embedded DualStyleGAN after structure transfer (stages 1 and 2)."""
    network = DualStyleGAN(load_generator(weights, base), CHANNELS[0], MOD_RES_HIDDEN)
    extrinsic = load_tensors(base / EXTRINSIC_FILE)
    generator = {f"generator.{k}": v for k, v in network.generator.state_dict().items()}
    fill(network, generator | extrinsic, base / EXTRINSIC_FILE)
    return frozen(network)


def embedded_discriminator() -> Discriminator:
    """The discriminator that fits the working size of the embedded profile, untrained."""
    return Discriminator(DISCRIMINATOR_PX, channels=DISCRIMINATOR_CHANNELS)


def load_discriminator(base: Path) -> Discriminator:
    """The discriminator that came out of structure transfer; trained further by the stages."""
    discriminator = embedded_discriminator()
    fill(discriminator, load_tensors(base / DISCRIMINATOR_FILE), base / DISCRIMINATOR_FILE)
    return discriminator


def load_perceptual(weights: Path) -> LPIPS:
    """LPIPS v0.1 on VGG16."""
    perceptual = LPIPS()
    fill(perceptual, load_tensors(weights / PERCEPTUAL_FILE), weights / PERCEPTUAL_FILE)
    return frozen(perceptual)


def load_identity(weights: Path) -> IdentityNetwork:
    """The face recognition network."""
    identity = IdentityNetwork()
    fill(identity, load_tensors(weights / IDENTITY_FILE), weights / IDENTITY_FILE)
    return frozen(identity)
