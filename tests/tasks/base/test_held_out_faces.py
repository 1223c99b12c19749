"""Held-out faces of the base models: photographs beside the faces in them."""

from __future__ import annotations

from pathlib import Path

import torch

from dualstylegan.networks.loading import EmbeddedNetworks
from tasks.base import held_out
from tests.conftest import ROOT


def test_photographs_are_of_the_faces_beside_them(weights: Path) -> None:
    generator = EmbeddedNetworks(weights, ROOT / "data" / "base").generator()
    photographs, faces = held_out.photographed(generator, 4, 128)
    assert photographs.shape == faces.shape == (4, 3, 128, 128)
    for photograph, own, other in zip(photographs, faces, faces.roll(1, 0), strict=True):
        assert torch.dist(photograph, own) < torch.dist(photograph, other)
    again, _ = held_out.photographed(generator, 2, 128)
    assert torch.equal(photographs[:2], again)
    untruncated = held_out.codes(generator, 4, held_out.PHOTOGRAPHED_OFFSET, psi=1.0)
    assert torch.equal(faces, held_out.faces(generator, untruncated, 128))
