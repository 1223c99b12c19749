"""Training on pastiches: faces by number, one process for all, held-out ones, exact resume."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dualstylegan.errors import FaceError
from dualstylegan.faces.shape import Array
from dualstylegan.finetuning.trainer import RunPlan, Trainer
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.stylegan2 import StyleGAN2
from dualstylegan.pretraining.pastiche import (
    FaceRing,
    PastichePlan,
    PasticheTraining,
    draw_face,
    held_out_panel,
    paint,
)
from tests.support.schematic_face import SIZE, face_points
from tests.support.trainings import Identity, Pyramid
from tests.support.unstyled import Unstyled

DIM, PX = 8, 64
PLAN = PastichePlan(steps=6, rate=0.001, identity_weight=0.5, jitter=0.05, ring_faces=16)


class Encoder(nn.Module):
    """Stand-in: the mean colour of a painting in every row."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows = rows

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)).repeat(1, DIM)[:, None, :DIM].expand(-1, self.rows, -1)


class Killed(Exception):
    pass


def landmarks(image_CHW: Tensor) -> Array:
    points: Array = face_points() * image_CHW.shape[-1] / SIZE
    return points


def small_generator() -> StyleGAN2:
    torch.manual_seed(0)
    generator = StyleGAN2(PX, style_dim=DIM, mapping_layers=2, channels=[4] * 5)
    return generator.requires_grad_(False)


def pastiche_training() -> PasticheTraining:
    generator = small_generator()
    torch.manual_seed(1)
    network = DualStyleGAN(generator, 4, tone_rank=2)
    ring = FaceRing(generator, landmarks, PLAN.ring_faces)
    perceptual: Any = Pyramid()
    identity: Any = Identity()
    encoder = Encoder(generator.rows)
    return PasticheTraining(network, encoder, perceptual, identity, Unstyled(), ring, PX, PLAN)


def trained(folder: Path, killed_at: int | None = None) -> Trainer:
    plan = RunPlan(PLAN.steps, 0, 0.9, 0.0, 100, "same")

    def watch(step: int, scalars: dict[str, float]) -> None:
        if step == killed_at:
            raise Killed

    trainer = Trainer(pastiche_training(), plan, folder / "state.safetensors", watch)
    trainer.run()
    return trainer


def test_a_killed_training_goes_on_exactly(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = trained(tmp_path / "a")
    with pytest.raises(Killed):
        trained(tmp_path / "b", killed_at=4)
    resumed = trained(tmp_path / "b")
    assert resumed.history == whole.history
    theirs = resumed.averaged_state()
    assert all(torch.equal(value, theirs[key]) for key, value in whole.averaged_state().items())


def test_the_tone_learns_too() -> None:
    training = pastiche_training()
    for step in range(2):
        training.step(step, torch.Generator().manual_seed(step))
    learnt = [p for name, p in training.network.tone.named_parameters() if "up.weight" in name]
    assert all(bool(parameter.detach().abs().sum() > 0) for parameter in learnt)


def test_a_face_depends_on_its_number_alone() -> None:
    ring = FaceRing(small_generator(), landmarks, 4)
    ring.fill(4)
    first = dict(ring.faces)
    ring.fill(6)
    assert sorted(ring.faces) == [2, 3, 4, 5]
    late = FaceRing(small_generator(), landmarks, 4)
    late.fill(6)
    for number, face in late.faces.items():
        assert torch.equal(face.code_LD, ring.faces[number].code_LD)
    assert torch.equal(ring.faces[3].code_LD, first[3].code_LD)


def test_one_process_paints_every_face_alike_and_itself_always() -> None:
    generator = small_generator()
    faces = [draw_face(generator, landmarks, number) for number in range(2)]
    both = paint(Unstyled(), 3, faces)
    assert torch.equal(both[1:], paint(Unstyled(), 3, faces[1:]))
    assert not torch.equal(both, paint(Unstyled(), 4, faces))


def test_no_step_trains_on_the_held_out_faces() -> None:
    training = pastiche_training()
    panel = held_out_panel(training.generator, landmarks, Unstyled(), PX)
    training.ring.fill(40)
    seen = torch.stack([face.code_LD for face in training.ring.faces.values()])
    assert float(torch.cdist(seen.flatten(1), panel.code_NLD.flatten(1)).min()) > 0
    assert panel.pastiche_PNCHW.shape[:2] == (3, 6)


def test_a_further_training_meets_faces_of_its_own() -> None:
    training = pastiche_training()
    training.plan = replace(PLAN, first=40)
    training.step(0, torch.Generator().manual_seed(0))
    assert min(training.ring.faces) == 40


def test_without_a_face_there_is_an_end() -> None:
    def nobody(image_CHW: Tensor) -> Array:
        return landmarks(image_CHW) * float("nan")

    with pytest.raises(FaceError):
        draw_face(small_generator(), nobody, 0)
