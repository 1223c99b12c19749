"""The embedded generator with its real weights: its sizes agree, rows act where they should."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dualstylegan.errors import DataError
from dualstylegan.evaluation.texture import detail_bands, mesh
from dualstylegan.networks.loading import EmbeddedNetworks
from dualstylegan.networks.mobilestylegan import MobileStyleGAN, inverse_haar

BASE = Path(__file__).parents[3] / "data" / "base"


@pytest.fixture(scope="module")
def generator(weights: Path) -> MobileStyleGAN:
    return EmbeddedNetworks(weights, BASE).generator()


@pytest.fixture(scope="module")
def w(generator: MobileStyleGAN) -> Tensor:
    """Two faces in W+, each mixed of two codes, as fitted codes are."""
    z = torch.randn(2, 2, generator.style_dim, generator=torch.Generator().manual_seed(3))
    first, second = generator.truncate(generator.map(z), 0.7)
    return generator.mix(first, second, 12)


def reduced(image: Tensor, size: int) -> Tensor:
    return F.interpolate(image, (size, size), mode="bilinear", antialias=True)


@torch.no_grad()
def test_heads_show_the_full_picture_in_small(generator: MobileStyleGAN, w: Tensor) -> None:
    full = generator.synthesise(w)
    assert full.shape == (2, 3, 1024, 1024)
    for size, most in ((64, 0.06), (128, 0.06), (256, 0.03)):
        assert (generator.synthesise(w, size=size) - reduced(full, size)).abs().mean() < most


@torch.no_grad()
def test_a_picture_does_not_depend_on_its_batch(generator: MobileStyleGAN, w: Tensor) -> None:
    both = generator.synthesise(w, size=64)
    alone = torch.cat([generator.synthesise(one[None], size=64) for one in w])
    assert torch.allclose(both, alone, atol=1e-5)


@torch.no_grad()
def test_rows_that_no_block_and_no_head_reads_change_nothing(
    generator: MobileStyleGAN, w: Tensor
) -> None:
    read = {*range(9), *generator.heads["64"].rows}  # type: ignore[misc]
    assert read == {*range(10), 11, 13, 15}
    changed = w.clone()
    changed[:, [row for row in range(generator.rows) if row not in read]] += 1
    assert torch.equal(generator.synthesise(w, size=64), generator.synthesise(changed, size=64))


@torch.no_grad()
def test_larger_pictures_keep_the_colours_of_the_coarse_one(
    generator: MobileStyleGAN, w: Tensor
) -> None:
    """Even where the rows past it belong to another face."""
    strange = w.clone()
    strange[:, 12:] *= -1
    small = generator.synthesise(strange, size=128)
    plain = generator.synthesise(strange, size=256)
    generator.coarse_px = 128
    try:
        large = generator.synthesise(strange, size=256)
        assert torch.equal(generator.synthesise(strange, size=128), small)
    finally:
        generator.coarse_px = None
    # bilinear reduction and enlargement blur a little; colours are compared at 32 px
    wanted = reduced(small, 32)
    error = (reduced(large, 32) - wanted).abs().mean()
    assert error < 0.01
    assert error < (reduced(plain, 32) - wanted).abs().mean() / 10
    assert (large - F.interpolate(small, scale_factor=2, mode="bilinear")).abs().mean() > 0.005


@torch.no_grad()
def test_at_full_size_detail_is_a_face_s_however_far_the_rows_are(
    generator: MobileStyleGAN, w: Tensor
) -> None:
    """Rows that training at 128 px moves unseen colour the image and draw nothing into it."""
    strange = w[:1].clone()
    strange[:, 11:] = generator.mean_w + 3 * (strange[:, 11:] - generator.mean_w)
    plain = generator.synthesise(strange)
    own = generator.synthesise(w[:1])
    generator.coarse_px = 128
    try:
        full = generator.synthesise(strange)
        small = generator.synthesise(strange, size=128)
    finally:
        generator.coarse_px = None
    assert mesh(own) > 5
    assert mesh(full) < 2
    assert (reduced(full, 32) - reduced(small, 32)).abs().mean() < 0.01
    wanted, found, false = (detail_bands(x, 128, 400) for x in (own, full, plain))
    assert (found - wanted).abs().mean() < (false - wanted).abs().mean()


def test_sizes_without_a_head_are_refused(generator: MobileStyleGAN, w: Tensor) -> None:
    with pytest.raises(DataError, match="512 px"):
        generator.synthesise(w, size=512)


def test_the_haar_transform_keeps_energy_and_means() -> None:
    bands = torch.randn(1, 8, 4, 4, generator=torch.Generator().manual_seed(0))
    image = inverse_haar(bands)
    assert image.shape == (1, 2, 8, 8)
    assert torch.allclose(image.square().sum(), bands.square().sum(), rtol=1e-5)
    assert torch.allclose(image.mean((2, 3)), bands[:, :2].mean((2, 3)) / 2, atol=1e-6)
