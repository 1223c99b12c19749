"""Networks against outputs of the published implementation on the same weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dualstylegan.losses import contextual, r1_penalty
from dualstylegan.networks.discriminator import Discriminator
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.ir_se50 import IRSE50
from dualstylegan.networks.psp import GradualStyleEncoder
from dualstylegan.networks.stylegan2 import StyleGAN2
from tests.support.golden_weights import REFERENCE, drawn, rebuild, relative_error

TOLERANCE = 1e-4
ROWS = 10
STRUCTURE_ROWS = 7
Reference = dict[str, NDArray[np.float32]]


@pytest.fixture(scope="module")
def reference() -> Reference:
    with np.load(REFERENCE) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def network() -> DualStyleGAN:
    network = DualStyleGAN(StyleGAN2(64))
    rebuild(network)
    return network


@pytest.fixture(scope="module")
def discriminator() -> Discriminator:
    network = Discriminator(64)
    rebuild(network)
    return network


@pytest.fixture(scope="module")
def z() -> torch.Tensor:
    return drawn("z", 4, 512)


def dual_weights(name: str) -> torch.Tensor:
    if name == "dual_z_plus":
        return torch.linspace(0.2, 1, ROWS)
    weights = torch.ones(ROWS)
    if name == "dual_structure_only":
        weights[:STRUCTURE_ROWS], weights[STRUCTURE_ROWS:] = 0.75, 0
    return weights


def test_mapping(reference: Reference, network: DualStyleGAN, z: torch.Tensor) -> None:
    assert relative_error(network.generator.map(z), reference["mapping"]) < TOLERANCE


def test_generator_from_z(reference: Reference, network: DualStyleGAN, z: torch.Tensor) -> None:
    image = network.generator(z[:2], "z")
    assert relative_error(image, reference["stylegan2"]) < TOLERANCE


def test_w_and_w_plus_render_what_z_renders(
    reference: Reference, network: DualStyleGAN, z: torch.Tensor
) -> None:
    generator = network.generator
    w = generator.map(z[:2])
    assert relative_error(generator(w[:1], "w"), reference["stylegan2"][:1]) < TOLERANCE
    rows = w[1:, None].repeat(1, ROWS, 1)
    assert relative_error(generator(rows, "w_plus"), reference["stylegan2"][1:]) < TOLERANCE


def test_truncation_towards_the_mean(
    reference: Reference, network: DualStyleGAN, z: torch.Tensor
) -> None:
    generator = network.generator
    mean = torch.from_numpy(reference["mapping"]).mean(0)
    generator.mean_w.copy_(mean)
    try:
        image = generator(z[:2], "z", truncation=0.7)
    finally:
        generator.mean_w.zero_()
    assert relative_error(image, reference["stylegan2_truncated"]) < TOLERANCE


def test_style_mixing(reference: Reference, network: DualStyleGAN, z: torch.Tensor) -> None:
    generator = network.generator
    w = generator.map(z)
    image = generator(generator.mix(w[:2], w[2:], 3), "w_plus")
    assert relative_error(image, reference["stylegan2_mixed_at_3"]) < TOLERANCE


@pytest.mark.parametrize("name", ["dual_z_plus", "dual_full_weight", "dual_structure_only"])
def test_dualstylegan(reference: Reference, network: DualStyleGAN, name: str) -> None:
    weights = dual_weights(name)
    image = network(drawn("z_plus", 2, ROWS, 512), drawn("extrinsic", 2, ROWS, 512), weights)
    assert relative_error(image, reference[name]) < TOLERANCE


def test_each_image_may_have_weights_of_its_own(
    reference: Reference, network: DualStyleGAN
) -> None:
    """Another row of the batch, its weights included, changes nothing: rows swapped here."""
    weights = torch.stack((dual_weights("dual_structure_only"), dual_weights("dual_z_plus")))
    codes = [drawn(name, 2, ROWS, 512).flip(0) for name in ("z_plus", "extrinsic")]
    images = network(*codes, weights)
    assert relative_error(images[:1], reference["dual_structure_only"][1:]) < TOLERANCE
    assert relative_error(images[1:], reference["dual_z_plus"][:1]) < TOLERANCE


def test_weights_as_plain_numbers(reference: Reference, network: DualStyleGAN) -> None:
    weights = dual_weights("dual_structure_only").tolist()
    image = network(
        drawn("z_plus", 2, ROWS, 512)[:1], drawn("extrinsic", 2, ROWS, 512)[:1], weights
    )
    assert relative_error(image, reference["dual_structure_only"][:1]) < TOLERANCE


def test_extrinsic_path_off(reference: Reference, network: DualStyleGAN) -> None:
    image = network(drawn("z_plus", 2, ROWS, 512), None)
    assert relative_error(image, reference["dual_no_extrinsic"]) < TOLERANCE


def test_discriminator(reference: Reference, discriminator: Discriminator) -> None:
    images = torch.from_numpy(reference["dual_full_weight"]).repeat(2, 1, 1, 1)
    assert relative_error(discriminator(images), reference["discriminator"]) < TOLERANCE


def test_r1(reference: Reference, discriminator: Discriminator) -> None:
    penalty = r1_penalty(discriminator, drawn("image", 4, 3, 64, 64)).mean()
    assert relative_error(penalty, reference["r1"]) < TOLERANCE


@pytest.mark.parametrize("block", [1024, 24])
def test_contextual(reference: Reference, block: int) -> None:
    """The published centre is the mean over the batch; our own default is each target's."""
    x, y = (drawn(f"features_{name}", 2, 16, 8, 8).relu() for name in "xy")
    loss = contextual(x, y, 0.2, block, y.mean((0, 2, 3), keepdim=True)).mean()
    assert relative_error(loss, reference["contextual_h0.2"]) < TOLERANCE


def test_encoder(reference: Reference) -> None:
    with torch.device("meta"):  # 160 M weights that need no random start
        encoder = GradualStyleEncoder(ROWS)
    encoder.to_empty(device="cpu")
    rebuild(encoder, normalised=True)
    image = drawn("image256", 1, 3, 256, 256)
    codes = encoder(torch.cat((image.flip(3), image)))  # a batch mate changes nothing
    assert relative_error(codes[1:], reference["psp_encoder"]) < TOLERANCE


def test_identity(reference: Reference) -> None:
    identity = IRSE50()
    rebuild(identity, normalised=True)
    embedding = identity(drawn("image112", 2, 3, 112, 112))
    assert relative_error(embedding, reference["identity"]) < TOLERANCE
