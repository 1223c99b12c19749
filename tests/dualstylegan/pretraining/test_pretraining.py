"""Training of the base models: losses, samples, augmentations and the report page."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from dualstylegan.networks.encoder import PortraitEncoder
from dualstylegan.networks.loading import EmbeddedNetworks
from dualstylegan.networks.mobilestylegan import HEAD_SIZES, RgbHead
from dualstylegan.networks.stylegan2 import StyleGAN2
from dualstylegan.pretraining.augment import augment_photo
from dualstylegan.pretraining.encoder import (
    EncoderPlan,
    EncoderTraining,
    PictureLosses,
    SampleRing,
    draw_samples,
)
from dualstylegan.pretraining.heads import HeadPlan, HeadTraining, sample_pixels
from tasks.pages.base_page import Picture, render
from tasks.shared.floor import bandwidth, matrix_rate, operations
from tests.support.trainings import Pyramid, Regions

BASE = Path(__file__).parents[3] / "data" / "base"
DIM = 16
PLAN = EncoderPlan(
    steps=4,
    batch=4,
    passes=2,
    rendered=2,
    pictures_from=2,
    first_faces=4,
    backbone_rate=1e-3,
    head_rate=1e-3,
    identity_rate=1e-3,
)


def small_generator() -> StyleGAN2:
    """Build a generator of 128 px, the encoder's input size, with few channels."""
    torch.manual_seed(0)
    generator = StyleGAN2(128, style_dim=DIM, mapping_layers=2, channels=[4] * 6)
    return generator.requires_grad_(False)


def encoder_training(plan: EncoderPlan = PLAN) -> EncoderTraining:
    generator = small_generator()
    torch.manual_seed(1)
    encoder = PortraitEncoder(generator.rows, generator.structure_rows, DIM)
    pictures = PictureLosses(Pyramid(), Regions())  # type: ignore[arg-type]
    return EncoderTraining(encoder, generator, pictures, SampleRing(generator, 8, 2), plan)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_heads_trained_on_pixels_meet_faces_that_they_never_saw(weights: Path) -> None:
    generator = EmbeddedNetworks(weights, BASE).generator()
    samples, codes = sample_pixels(generator, 8, 256, 10**6, lambda done: None)
    plan = HeadPlan(steps=60, rate=0.002, faces=4, pixels=128, held_out=2)
    torch.manual_seed(2)
    head: Any
    for head in generator.heads.values():
        fresh = RgbHead(head.linear.in_channels, head.output.in_channels, head.rows)
        head.load_state_dict(fresh.state_dict())
    training = HeadTraining(generator, samples, codes, plan)
    start = training.held_out()
    for step in range(plan.steps):
        training.step(step, rng(step))
    after = training.held_out()
    assert list(after) == [f"{size} px" for size in HEAD_SIZES]
    assert all(after[size] > start[size] for size in after)
    assert after["256 px"] > start["256 px"] + 1


def test_codes_come_first_and_pictures_later() -> None:
    training = encoder_training()
    assert set(training.step(0, rng())) == {"code"}
    both = training.step(2, rng())
    losses = ("code", "pixels", "identity", "perceptual")
    assert set(both) == {f"pass {number}/{loss}" for number in (1, 2) for loss in losses}
    assert all(torch.isfinite(value) for value in both.values())


def test_identity_is_compared_with_the_face_before_its_changes() -> None:
    training = encoder_training(replace(PLAN, pictures_from=0))
    training.step(0, rng())
    seen: list[Tensor] = training.pictures.identity.seen  # type: ignore[assignment]
    ring = torch.cat([part.image_NCHW for part in training.ring.parts]).float() / 127.5 - 1
    wanted = seen[1]  # the photo comes before the face
    assert all(any(torch.equal(face, kept) for kept in ring) for face in wanted)


def test_steps_on_one_batch_bring_its_codes_nearer() -> None:
    training = encoder_training(replace(PLAN, pictures_from=1000, steps=10_000))
    losses = [float(training.step(99, rng())["code"]) for _ in range(30)]
    assert losses[-1] < 0.7 * losses[0]


def test_identity_and_rendering_reach_the_later_passes_alone() -> None:
    training = encoder_training(replace(PLAN, pictures_from=0))
    stem = training.encoder.backbone.stem.weight
    before = stem[:, 3:].clone()
    training.step(0, rng())
    assert not torch.equal(stem[:, 3:], before)
    assert training.encoder.identity.rows.weight.abs().max() > 0
    alone = encoder_training(replace(PLAN, pictures_from=0, passes=1))
    alone.step(0, rng())
    assert torch.equal(alone.encoder.backbone.stem.weight[:, 3:], before)
    assert alone.encoder.identity.rows.weight.abs().max() == 0


def test_a_ring_refilled_after_a_kill_holds_the_same_faces() -> None:
    generator = small_generator()
    going, resumed = (SampleRing(generator, 6, 2) for _ in range(2))
    for made in range(2, 13, 2):
        list(going.fill(made))
    list(resumed.fill(12))
    assert going.made == resumed.made == 12
    for one, other in zip(going.parts, resumed.parts, strict=True):
        assert torch.equal(one.image_NCHW, other.image_NCHW)
        assert torch.equal(one.w_plus_NLD, other.w_plus_NLD)


def test_faces_are_single_mixed_and_truncated_by_their_number() -> None:
    generator = small_generator()
    samples = draw_samples(generator, range(40))
    single = (samples.w_plus_NLD == samples.w_plus_NLD[:, :1]).flatten(1).all(1)
    assert 5 < int((~single).sum()) < 20
    again = draw_samples(generator, range(7, 8))
    assert torch.equal(again.w_plus_NLD[0], samples.w_plus_NLD[7])


@pytest.mark.parametrize("count", [1, 3])
def test_changed_faces_stay_images(count: int) -> None:
    faces = torch.rand(count, 3, 128, 128, generator=rng()) * 2 - 1
    changed = augment_photo(faces, rng(1))
    assert changed.shape == faces.shape
    assert changed.min() >= -1
    assert changed.max() <= 1
    assert not torch.equal(changed, faces)
    assert torch.equal(changed, augment_photo(faces, rng(1)))


def test_floors_are_counted_and_measured() -> None:
    a, b = torch.randn(8, 16), torch.randn(16, 4)
    assert operations(lambda: a @ b) == 2 * 8 * 16 * 4
    conv = torch.nn.Conv2d(4, 6, 3, padding=1, groups=2)
    image = torch.randn(1, 4, 10, 10)
    assert operations(lambda: conv(image)) == 2 * 10 * 10 * 6 * 2 * 9
    conv.requires_grad_(False)
    image.requires_grad_(True)  # forward, and the gradient by the image
    assert operations(lambda: conv(image).sum().backward()) == 2 * 2 * 10 * 10 * 6 * 2 * 9
    cpu = torch.device("cpu")
    assert 1e9 < matrix_rate(cpu, torch.float32) < 1e15
    assert 1e8 < bandwidth(cpu) < 1e13


def test_the_page_of_the_base_models_stands_alone() -> None:
    figures = {
        "heads": {"64 px": 30.0},
        "structure": {"l = 5": {"lpips": 0.07}},
        "encoder": {"photo": {"encoder": {"lpips": 0.2, "seconds": 0.01}}},
    }
    curves = {"encoder": [{"step": 0, "lpips": 0.4}, {"step": 9, "lpips": 0.2}], "heads": []}
    image = Image.new("RGB", (8, 8))
    page = render(figures, curves, [Picture("Rows & more", ["face", "encoder"], image)])
    assert "encoder, photo" in page
    assert "Rows &amp; more" in page
    assert "0.4 to 0.2" in page.replace("0.400", "0.4").replace("0.200", "0.2")
    assert not re.findall(r'(?:src|href)="(?!data:)[^"]*"', page)
