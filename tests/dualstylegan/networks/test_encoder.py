"""The embedded encoder in one pass and in several."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from dualstylegan.codes.inversion import encode, encode_in_passes
from dualstylegan.errors import CheckpointError
from dualstylegan.io.checkpoints import fill
from dualstylegan.networks.encoder import EncoderPass, PortraitEncoder, with_passes
from dualstylegan.networks.identity import EMBEDDING_DIM
from dualstylegan.networks.loading import EmbeddedNetworks
from dualstylegan.networks.stylegan2 import StyleGAN2
from dualstylegan.pretraining.photograph.chain import photograph
from tests.conftest import ROOT
from tests.support.trainings import Regions

DIM = 16


@pytest.fixture
def generator() -> StyleGAN2:
    torch.manual_seed(0)
    return StyleGAN2(128, style_dim=DIM, mapping_layers=2, channels=[4] * 6).requires_grad_(False)


@pytest.fixture
def encoder(generator: StyleGAN2) -> PortraitEncoder:
    torch.manual_seed(1)
    return PortraitEncoder(generator.rows, generator.structure_rows, DIM).requires_grad_(False)


def faces(count: int = 2) -> Tensor:
    return torch.rand(count, 3, 128, 128, generator=torch.Generator().manual_seed(2)) * 2 - 1


def one_pass_state(encoder: PortraitEncoder) -> dict[str, Tensor]:
    """Return a state as encoders of one pass had it."""
    state = {k: v.clone() for k, v in encoder.state_dict().items() if not k.startswith("identity")}
    state["backbone.stem.weight"] = state["backbone.stem.weight"][:, :3]
    return state


def test_a_model_of_one_pass_computes_the_same_codes_in_any_number(
    generator: StyleGAN2, encoder: PortraitEncoder
) -> None:
    state = one_pass_state(encoder)
    torch.manual_seed(3)
    loaded = PortraitEncoder(generator.rows, generator.structure_rows, DIM).requires_grad_(False)
    fill(loaded, with_passes(state, loaded.state_dict()), "encoder.safetensors")
    first = encode(loaded, faces())
    assert torch.allclose(first, encode(encoder, faces()), atol=1e-5)
    later = encode_in_passes(loaded, generator, Regions(), faces(), 4)  # type: ignore[arg-type]
    assert torch.allclose(first, later, atol=1e-5)


def test_a_state_of_several_passes_stays_as_it_is(encoder: PortraitEncoder) -> None:
    state = encoder.state_dict()
    extended = with_passes(state, state)
    assert all(extended[name] is state[name] for name in state)


def test_a_state_that_is_no_encoder_is_refused_by_name(encoder: PortraitEncoder) -> None:
    with pytest.raises(CheckpointError, match="missing"):
        fill(encoder, with_passes({}, encoder.state_dict()), "encoder.safetensors")


def test_a_pass_takes_rendering_and_identity_into_account(
    generator: StyleGAN2, encoder: PortraitEncoder
) -> None:
    torch.nn.init.normal_(encoder.identity.rows.weight)
    code, image = encode(encoder, faces()), faces()
    same = torch.zeros(2, EMBEDDING_DIM)
    before = EncoderPass(code, image, same, same)
    once = encoder(image, before)
    assert not torch.allclose(once, encoder(image, EncoderPass(code, -image, same, same)))
    changed = encoder(image, EncoderPass(code, image, same + 1, same))
    assert not torch.allclose(once[:, :9], changed[:, :9])
    assert torch.equal(once[:, 9:], changed[:, 9:])  # fine rows hold no identity
    assert torch.allclose(once.square().mean(-1), torch.ones(2, generator.rows), atol=1e-4)


def test_passes_do_not_mix_faces(generator: StyleGAN2, encoder: PortraitEncoder) -> None:
    torch.nn.init.normal_(encoder.identity.rows.weight, std=0.1)
    batch = encode_in_passes(encoder, generator, Regions(), faces(3), 3)  # type: ignore[arg-type]
    for index in range(3):
        face = faces(3)[index : index + 1]
        alone = encode_in_passes(encoder, generator, Regions(), face, 3)  # type: ignore[arg-type]
        assert torch.allclose(batch[index], alone[0], atol=1e-4)


def test_the_shipped_encoder_comes_nearer_to_the_person_in_its_second_pass(weights: Path) -> None:
    """Encode photographs of untruncated faces, which no training has seen."""
    networks = EmbeddedNetworks(weights, ROOT / "data/base")
    generator, encoder, identity = networks.generator(), networks.encoder(), networks.identity()
    z = torch.randn(6, generator.style_dim, generator=torch.Generator().manual_seed(90_000_000))
    with torch.no_grad():
        faces_NCHW = generator(z, size=128).clamp(-1, 1)
        photos = photograph(faces_NCHW, torch.Generator().manual_seed(1))
        wanted = identity(faces_NCHW)
        distances = []
        for passes in (1, 2, 4):
            code = encode_in_passes(encoder, generator, identity, photos, passes)
            again = identity(generator(code, "z_plus", size=128))
            distances.append(float(identity.distance(again, wanted).mean()))
    assert distances[1] < distances[0] - 0.01
    assert distances[2] < distances[0] - 0.01  # and further passes do not lose it
