"""A portrait model small enough for tests: a narrow StyleGAN2 with random weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from dualstylegan.codes.sampling import SamplerPlan, fit_sampler
from dualstylegan.io.images import image_to_tensor, thumbnail
from dualstylegan.networks.config import GeneratorConfig, NetworkConfig
from dualstylegan.portrait.config import PortraitConfig, TransferDefaults
from dualstylegan.portrait.model import PortraitModel
from dualstylegan.portrait.styles import StyleLibrary

STYLE_NAMES = ("amber-fox", "amber-owl", "blue-heron", "stone")


def tiny_model(
    seed: int = 0, resolution: int = 32, names: tuple[str, ...] = STYLE_NAMES
) -> PortraitModel:
    """A model of a few styles; the same seed gives the same weights."""
    widths = (8,) * (resolution.bit_length() - 2)
    network = NetworkConfig(
        generator=GeneratorConfig(
            kind="stylegan2",
            resolution=resolution,
            style_dim=8,
            mapping_layers=2,
            channels=widths,
        ),
        res_channels=8,
        res_hidden=4,
    )
    torch.manual_seed(seed)
    built, encoder = network.build(), network.build_encoder()
    built.generator.measure_mean_w(256)
    generator = built.generator
    shape = (len(names), generator.rows, generator.style_dim)
    return PortraitModel(
        PortraitConfig(network=network, styles=names, defaults=TransferDefaults(fit_steps=0)),
        built,
        encoder,
        StyleLibrary(names, torch.randn(shape), torch.randn(shape)),
        card="# A card\n",
        thumbnails={names[-1]: thumbnail(Image.linear_gradient("L"), 64)},
    )


def with_sampler(model: PortraitModel) -> PortraitModel:
    """Give a model a sampler of its styles; return it."""
    plan = SamplerPlan(epochs=1, pool=8, batch=4, rate=0.001, jitter=0.05, seed=0)
    codes = model.styles.extrinsic_SLD
    model.sampler = fit_sampler(codes, model.generator.structure_rows, plan)[0]
    model.config = model.config.model_copy(update={"has_sampler": True})
    return model


def codes_of(portraits: Sequence[tuple[str, Image.Image]]) -> dict[str, Tensor]:
    """The tiny model's codes of faces, by name."""
    model = tiny_model()
    return {name: model.encode(image_to_tensor(image, 32)[None])[0] for name, image in portraits}
