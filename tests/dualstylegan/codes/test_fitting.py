"""Fit of codes to aligned faces: identity term, settings that leave networks out, likeness."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dualstylegan.codes.fitting import FitNetworks, FitSettings, fit, likeness
from dualstylegan.codes.inversion import IdentityTerm, RestyledIdentity, resize_images
from dualstylegan.faces.align import align_face
from dualstylegan.io.images import image_to_tensor, read_image
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.facenet import cosine
from dualstylegan.networks.identity import DlibFaceRecognition, similarity
from dualstylegan.networks.loading import EmbeddedNetworks, load_facenet
from dualstylegan.networks.precision import dtype_of, set_compute_dtype
from dualstylegan.portrait.config import TransferDefaults
from tests.conftest import ROOT
from tests.support.trainings import Regions

FEW = FitSettings(size=64, steps=3, passes=1, identity_weight=0.0, restyled_weight=0.0)


@pytest.fixture(scope="module")
def networks(weights: Path) -> FitNetworks:
    """Return the embedded networks, generator and LPIPS in bfloat16, without face recognition."""
    embedded = EmbeddedNetworks(weights, ROOT / "data/base")
    return FitNetworks(
        set_compute_dtype(embedded.generator(), dtype_of(True)),
        embedded.encoder(),
        set_compute_dtype(embedded.lpips(), dtype_of(True)),
    )


@pytest.fixture(scope="module")
def identity(weights: Path) -> DlibFaceRecognition:
    return EmbeddedNetworks(weights, ROOT / "data/base").identity()


@pytest.fixture(scope="module")
def dualstylegan(weights: Path) -> DualStyleGAN:
    """Return G before any style training, in bfloat16."""
    loaded = EmbeddedNetworks(weights, ROOT / "data/base").dualstylegan()
    return set_compute_dtype(loaded, dtype_of(True))


def random_styles(network: DualStyleGAN, count: int) -> Tensor:
    """Draw Z+ codes (count, L, D)."""
    shape = (count, network.generator.rows, network.generator.style_dim)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def face(weights: Path) -> Tensor:
    """Return the face of a photo as (1, 3, 256, 256) in [-1, 1]."""
    photo = read_image(weights / "astronaut.png")
    return image_to_tensor(align_face(photo, 256, weights_dir=weights).image)[None]


def test_the_identity_term_makes_the_face_more_like_the_person(
    networks: FitNetworks, identity: DlibFaceRecognition, face: Tensor
) -> None:
    similar = []
    for weight in (0.0, 0.5):
        settings = replace(FEW, steps=8, identity_weight=weight)
        code = fit(replace(networks, identity=identity), face, settings).code_NLD
        similar.append(float(likeness(networks.generator, identity, code, face, 64)))
    assert similar[1] > similar[0] + 0.05


def test_the_restyled_term_keeps_the_person_in_a_style_that_the_fit_has_not_seen(
    networks: FitNetworks, identity: DlibFaceRecognition, face: Tensor, dualstylegan: DualStyleGAN
) -> None:
    styles = random_styles(dualstylegan, 5)
    known = replace(
        networks, identity=identity, dualstylegan=dualstylegan, extrinsic_SLD=styles[:4]
    )
    unseen = dualstylegan.generator.map(styles[4:])
    similar = []
    for weight in (0.0, 0.5):
        settings = replace(FEW, steps=8, restyled_weight=weight)
        code = fit(known, face, settings).code_NLD
        with torch.no_grad():
            restyled = resize_images(dualstylegan(code, unseen, size=128), 256)
            similar.append(float(similarity(identity(restyled), identity(face))))
    assert similar[1] > similar[0] + 0.03


def test_the_default_fit_keeps_the_person_for_a_network_that_it_does_not_know(
    networks: FitNetworks,
    identity: DlibFaceRecognition,
    face: Tensor,
    dualstylegan: DualStyleGAN,
    weights: Path,
) -> None:
    """Compare g(code) with the photo by FaceNet, and by the likeness that users are told."""
    styles = random_styles(dualstylegan, 7)
    known = replace(networks, identity=identity, dualstylegan=dualstylegan, extrinsic_SLD=styles)
    facenet, small = load_facenet(weights), resize_images(face, 128)
    found: dict[int, tuple[float, float]] = {}
    for steps in (0, FitSettings.steps):
        code = fit(known, small, FitSettings(steps=steps)).code_NLD
        with torch.no_grad():
            rendered = networks.generator(code, "z_plus", size=256).clamp(-1, 1)
            same = float(cosine(facenet(rendered), facenet(face)))
        found[steps] = same, float(likeness(networks.generator, identity, code, small, 128))
    line = TransferDefaults().fit_likeness_line
    assert found[FitSettings.steps][0] > found[0][0] + 0.2
    assert found[FitSettings.steps][0] > 0.5
    assert found[0][1] < line
    assert found[FitSettings.steps][1] > found[0][1] + 0.1


class Recorder:
    """Stand-in for G; records styles and weights."""

    def __init__(self) -> None:
        self.used: list[float] = []

    def weights(self, structure: float, color: float) -> tuple[float, float]:
        return structure, color

    def __call__(
        self, code: Tensor, style: Tensor, weights: tuple[float, float], size: int
    ) -> Tensor:
        assert weights == (0.75, 1.0)
        assert torch.equal(style[0], style[1])
        self.used.append(float(style[0]))
        return torch.zeros(len(code), 3, size, size)


def test_each_step_restyles_after_the_next_exemplar_at_the_given_weights() -> None:
    network = Recorder()
    identity = IdentityTerm(Regions(), torch.zeros(2, 128), 64, 1.0)  # type: ignore[arg-type]
    styles = torch.tensor([2.0, 0.0, 1.0]).view(3, 1, 1)
    term = RestyledIdentity(network, styles, identity, 64, 0.75)  # type: ignore[arg-type]
    for _ in range(4):
        term(torch.zeros(2, 1, 1))
    assert network.used == [2, 0, 1, 2]


def test_without_weight_or_steps_networks_are_left_out(
    networks: FitNetworks, identity: DlibFaceRecognition, face: Tensor
) -> None:
    bare = fit(networks, face, FEW)
    assert torch.equal(bare.code_NLD, fit(replace(networks, identity=identity), face, FEW).code_NLD)
    alone = replace(networks, lpips=None)
    encoded = fit(alone, face, replace(FEW, steps=0, identity_weight=0.5))
    assert (encoded.loss_N, encoded.initial_loss_N) == (None, None)
    assert torch.equal(encoded.code_NLD, networks.encoder(face))
    assert not torch.equal(encoded.code_NLD, bare.code_NLD)


def test_likeness_is_highest_for_the_face_that_a_code_renders(
    networks: FitNetworks, identity: DlibFaceRecognition, face: Tensor
) -> None:
    generator = networks.generator
    code = fit(networks, face, replace(FEW, steps=0)).code_NLD
    with torch.no_grad():
        own = generator(code, "z_plus", size=256).clamp(-1, 1)
    assert float(likeness(generator, identity, code, own, 256)) == pytest.approx(1, abs=1e-3)
    assert float(likeness(generator, identity, code, face, 256)) < 0.9
