"""Rows of single networks and losses: generators, encoders, the contextual loss."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor

from benchmarks.measure import Cycle, Row, alone
from benchmarks.reference import whole_contextual
from benchmarks.rows.build import STYLE_DIM, built, normal, pictures, plain
from dualstylegan.losses import contextual
from dualstylegan.networks.encoder import PortraitEncoder
from dualstylegan.networks.mobilestylegan import MobileStyleGAN
from dualstylegan.networks.psp import PublishedEncoder
from dualstylegan.networks.stylegan2 import StyleGAN2

BATCHES = (1, 8)
DTYPES = (torch.float32, torch.bfloat16)
EMBEDDED_ROWS, STRUCTURE_ROWS = 16, 7
# With eight pictures of 1024 px the published formulation did not fit into 23 GB.
PUBLISHED_PIXELS = 2**22
CONTEXTUAL_CHANNELS = 256
CONTEXTUAL_SIDE = 64


def named(dtype: torch.dtype) -> str:
    """A dtype's name."""
    return str(dtype).removeprefix("torch.")


def forward_rows(size: int) -> list[Row]:
    """A picture from codes in W+, alone and in a batch; the embedded generator has no published
    formulation."""
    rows = []
    for batch, dtype in itertools.product(BATCHES, DTYPES):

        def ours(batch: int = batch, dtype: torch.dtype = dtype) -> Cycle:
            return alone(_renders(built(lambda: StyleGAN2(size), dtype), batch, size))

        def theirs(batch: int = batch) -> Cycle:
            return alone(plain(_renders(built(lambda: StyleGAN2(size)), batch, size)))

        def embedded(batch: int = batch, dtype: torch.dtype = dtype) -> Cycle:
            return alone(_renders(built(MobileStyleGAN, dtype), batch, size))

        what = f"{size} px, batch {batch}, {named(dtype)}"
        beside = theirs if batch * size**2 <= PUBLISHED_PIXELS else None
        rows.append(Row(f"StyleGAN2, {what}", ours, beside, dtype))
        rows.append(Row(f"embedded generator, {what}", embedded, None, dtype))
    return rows


def _renders(network: Any, batch: int, size: int) -> Any:
    w_NLD = normal(batch, network.rows, STYLE_DIM)

    def render() -> Tensor:
        with torch.no_grad():
            image: Tensor = network.synthesise(w_NLD, size=size)
        return image

    return render


def encoder_rows() -> list[Row]:
    """Codes of one picture. The published encoder, beside itself, always renders at 1024 px."""
    image = pictures(1, 256)

    @torch.no_grad()
    def encode(encoder: Any) -> Tensor:
        codes: Tensor = encoder(image)
        return codes

    def theirs() -> Cycle:
        encoder, generator = built(lambda: PublishedEncoder(18)), built(lambda: StyleGAN2(1024))

        @torch.no_grad()
        def run() -> object:
            return generator.synthesise(encode(encoder))

        return alone(plain(run))

    def published() -> Cycle:
        encoder = built(lambda: PublishedEncoder(18))
        return alone(lambda: encode(encoder))

    def embedded() -> Cycle:
        encoder = built(lambda: PortraitEncoder(EMBEDDED_ROWS, STRUCTURE_ROWS))
        encoder.to(memory_format=torch.channels_last)
        return alone(lambda: encode(encoder))

    return [
        Row("published encoder, one picture", published, theirs),
        Row("embedded encoder, one picture", embedded),
    ]


def contextual_rows() -> list[Row]:
    """The contextual loss of one picture at 256 px, VGG's third stage, and its gradient."""

    def side(loss: Any) -> Cycle:
        features = normal(2, 1, CONTEXTUAL_CHANNELS, CONTEXTUAL_SIDE, CONTEXTUAL_SIDE)

        def run() -> None:
            x = features[0].clone().requires_grad_(True)
            loss(x, features[1]).sum().backward()

        return alone(run)

    name = f"contextual loss, {CONTEXTUAL_SIDE}^2 positions"
    return [Row(name, lambda: side(contextual), lambda: side(whole_contextual))]
