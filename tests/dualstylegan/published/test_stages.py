"""Published schedule, and each of its stages on small imported networks."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from dualstylegan.codes.destylization import destylize
from dualstylegan.codes.refinement import refine
from dualstylegan.errors import CheckpointError, SettingsError
from dualstylegan.finetuning.discriminator import DiscriminatorTrainer
from dualstylegan.finetuning.structure import StructureTraining
from dualstylegan.finetuning.style import StyleTraining
from dualstylegan.networks.discriminator import Discriminator
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.ir_se50 import IRSE50
from dualstylegan.networks.stylegan2 import StyleGAN2
from dualstylegan.networks.vgg19 import VGG19
from dualstylegan.published import schedule
from dualstylegan.published.adapter import import_published
from dualstylegan.published.layout import State
from dualstylegan.published.networks import ImportedFolder
from tests.support.settings import with_profile

DIM, ROWS, SIZE = 8, 8, 32


class Encoder(torch.nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((1, 2, 3))[:, None, None].expand(-1, ROWS, DIM)


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> ImportedFolder:
    """A folder imported from files in the published formats."""
    folder = tmp_path_factory.mktemp("published")
    torch.manual_seed(0)

    def state(module: nn.Module) -> State:
        return {k: v for k, v in module.state_dict().items() if not k.endswith("mean_w")}

    generator = StyleGAN2(SIZE, style_dim=DIM, mapping_layers=2, channels=[8] * 4)
    discriminator = Discriminator(SIZE, channels=[8] * 4)
    content = {"g_ema": state(generator), "g": state(generator), "d": state(discriminator)}
    torch.save(content, folder / "ffhq.pt")
    torch.save({"g_ema": state(DualStyleGAN(generator, 8))}, folder / "generator-pretrain.pt")
    torch.save(state(IRSE50()), folder / "model_ir_se50.pth")
    torch.save(state(VGG19()), folder / "vgg19.pth")
    import_published(sorted(folder.iterdir()), folder / "model")
    return ImportedFolder(folder / "model", folder)


def test_published_numbers() -> None:
    plan = schedule.structure_plan()
    assert [plan.crossover(step) for step in (0, 299, 300, 599, 600, 3599)] == [7, 7, 6, 6, 5, 5]
    assert schedule.STRUCTURE_STEPS == 300 + 300 + 3000
    assert schedule.STEP_IMAGES == 32
    assert pytest.approx(0.997784, abs=1e-6) == schedule.AVERAGE_DECAY
    found = {
        style: (plan.identity, plan.regular, schedule.recipe(style).steps)
        for style in schedule.RECIPES
        for plan in [schedule.style_plan(style)]
    }
    assert found == {
        "cartoon": (1, 0.015, 1400),
        "caricature": (4, 0.005, 1000),
        "anime": (1, 0.02, 2100),
    }
    with pytest.raises(SettingsError, match="no published recipe"):
        schedule.style_plan("impasto")


def test_the_profile_holds_the_published_numbers(tmp_path: Path) -> None:
    settings = with_profile("paper-1024", tmp_path)
    adapt, finetune, refinement = settings.adapt, settings.finetune, settings.refine
    assert (adapt.steps, adapt.batch * adapt.accumulation) == (schedule.ADAPT_STEPS, 32)
    assert (adapt.anchored, adapt.path_weight) == (0, schedule.STEP_OPTIONS.path_weight)
    plan = asdict(schedule.style_plan("cartoon"))
    plan |= plan.pop("step_options")
    assert {name: finetune.model_dump()[name] for name in plan} == plan
    assert finetune.steps == schedule.recipe("cartoon").steps
    assert settings.destylize.steps == schedule.DESTYLIZATION.steps
    assert settings.destylize.rate == schedule.DESTYLIZATION_RATE
    assert refinement.structure_rate == schedule.REFINEMENT_STRUCTURE_RATE
    assert refinement.color_rate == schedule.recipe("cartoon").color_rate
    assert settings.profile.working_size == 1024
    for section in (adapt, finetune):
        assert section.average_decay == pytest.approx(schedule.AVERAGE_DECAY, abs=1e-5)


def test_missing_networks_are_named(imported: ImportedFolder) -> None:
    with pytest.raises(CheckpointError, match=r"encoder\.safetensors"):
        imported.encoder()


def test_stage_2_on_imported_networks(imported: ImportedFolder) -> None:
    training = StructureTraining(
        imported.dualstylegan(),
        Encoder(),
        DiscriminatorTrainer(imported.initial_discriminator(), schedule.STRUCTURE_DISCRIMINATOR),
        imported.perceptual(),
        SIZE,
        schedule.structure_plan(batch=2),
    )
    for step in (0, 1):
        scalars = training.step(step, torch.Generator().manual_seed(step))
        assert all(bool(value.isfinite()) for value in scalars.values())


def test_stage_3_on_imported_networks(imported: ImportedFolder) -> None:
    torch.manual_seed(0)
    portraits = torch.randn(3, 3, SIZE, SIZE)
    training = StyleTraining(
        imported.dualstylegan(),
        DiscriminatorTrainer(imported.discriminator(), schedule.DISCRIMINATOR),
        imported.perceptual(),
        imported.identity(),
        lambda index: portraits[index],
        torch.randn(3, ROWS, DIM),
        torch.randn(3, ROWS, DIM),
        SIZE,
        schedule.style_plan("cartoon", batch=2, passes=1),
    )
    for step in (0, 1):
        scalars = training.step(step, torch.Generator().manual_seed(step))
        assert all(bool(value.isfinite()) for value in scalars.values())


def test_destylization_and_refinement_on_imported_networks(imported: ImportedFolder) -> None:
    torch.manual_seed(0)
    generator, network = imported.generator(), imported.dualstylegan()
    perceptual = imported.perceptual()
    portraits, codes = torch.randn(1, 3, SIZE, SIZE), torch.randn(1, ROWS, DIM)
    plan = schedule.OptimizationSchedule(steps=2)  # type: ignore[attr-defined]
    found = destylize(
        generator, generator, Encoder(), perceptual, imported.identity(), portraits, codes, plan,
        size=SIZE, rate=schedule.DESTYLIZATION_RATE,
    )  # fmt: skip
    assert found.natural_NCHW.shape == portraits.shape
    refined = refine(
        network, perceptual, portraits, found.intrinsic_NLD, codes, plan,
        structure_rate=schedule.REFINEMENT_STRUCTURE_RATE, color_rate=0.1,
    )  # fmt: skip
    assert bool((refined.loss_N <= refined.initial_loss_N).all())
