"""Rows of the steps that the method repeats: optimisation of codes, and trainings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.measure import Cycle, Row, Work, alone
from benchmarks.published_steps import PublishedAdapt, PublishedStructure, PublishedStyle
from benchmarks.reference import whole_contextual
from benchmarks.rows.build import STYLE_DIM, built, normal, pictures, plain
from dualstylegan.codes.inversion import LatentOptimizer, OptimizationSchedule
from dualstylegan.codes.refinement import CONTEXTUAL_STAGE, reconstruction_objective
from dualstylegan.finetuning.adapt import AdaptPlan, AdaptTraining
from dualstylegan.finetuning.discriminator import DiscriminatorTrainer
from dualstylegan.finetuning.structure import StructureTraining
from dualstylegan.finetuning.style import StyleTraining
from dualstylegan.networks.discriminator import Discriminator
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.ir_se50 import IRSE50
from dualstylegan.networks.psp import PublishedEncoder
from dualstylegan.networks.stylegan2 import StyleGAN2
from dualstylegan.networks.vgg import LPIPS
from dualstylegan.networks.vgg19 import STAGE_2_WEIGHTS, VGG19
from dualstylegan.published import schedule
from dualstylegan.published.networks import PublishedIdentity, PublishedPerceptual

SIZE = 256
EXEMPLARS = 4
FAST = torch.bfloat16
DESCENT = OptimizationSchedule(steps=1000)
# Of sixteen steps: which kind each is, by the number of a step of that kind. R1 comes with every
# sixteenth, path length with every fourth; odd steps are paired in stage 3.
STYLE_KINDS = {0: 1 / 16, 4: 3 / 16, 1: 8 / 16, 2: 4 / 16}
ADAPT_KINDS = {0: 1 / 16, 4: 3 / 16, 1: 12 / 16}


def latent_rows() -> list[Row]:
    """A step of latent optimisation, LPIPS of one picture."""

    def ours() -> Cycle:
        generator, lpips = built(lambda: StyleGAN2(SIZE), FAST), built(LPIPS, FAST)
        target = lpips.features(pictures(1, SIZE))

        def objective(latents: Any) -> Tensor:
            found: Tensor = lpips.distance(lpips.features(generator(latents[0], "z_plus")), target)
            return found

        start = normal(1, generator.rows, STYLE_DIM)
        return alone(LatentOptimizer([start], [0.1], objective, DESCENT).advance)

    def theirs() -> Cycle:
        generator, lpips = built(lambda: StyleGAN2(SIZE)), built(LPIPS)
        code = normal(1, generator.rows, STYLE_DIM).requires_grad_(True)
        generator.requires_grad_(True)
        image = pictures(1, SIZE)
        adam = torch.optim.Adam([code], lr=0.1)

        def step() -> None:
            adam.zero_grad()
            lpips(generator(code, "z_plus"), image).sum().backward()
            adam.step()
            generator.zero_grad(set_to_none=True)

        return alone(plain(step))

    return [Row(f"latent optimisation step, {SIZE} px", ours, theirs, FAST)]


def refinement_rows() -> list[Row]:
    """A step of refinement, one exemplar: LPIPS and the contextual loss.

    The published step describes the exemplar anew, and the picture by a second network for the
    contextual loss (here VGG16 once more).
    """

    def side(dtype: torch.dtype) -> tuple[Any, Any, Tensor, Tensor, Tensor]:
        network = built(lambda: DualStyleGAN(StyleGAN2(SIZE)), dtype)
        codes = normal(2, 1, network.generator.rows, STYLE_DIM)
        return network, built(LPIPS, dtype), pictures(1, SIZE), codes[0], codes[1]

    def ours() -> Cycle:
        network, lpips, image, intrinsic, extrinsic = side(FAST)
        rows = network.generator.structure_rows
        parts = [extrinsic[:, :rows], extrinsic[:, rows:]]
        objective = reconstruction_objective(network, lpips, image, intrinsic)
        return alone(LatentOptimizer(parts, [0.005, 0.01], objective, DESCENT).advance)

    def theirs() -> Cycle:
        network, lpips, image, intrinsic, code = side(torch.float32)
        wanted = lpips.features(image)[CONTEXTUAL_STAGE]
        network.requires_grad_(True)
        code.requires_grad_(True)
        adam = torch.optim.Adam([code], lr=0.01)

        def step() -> None:
            adam.zero_grad()
            rendered = network(intrinsic, network.generator.map(code))
            similar = whole_contextual(lpips.features(rendered)[CONTEXTUAL_STAGE], wanted)
            (lpips(rendered, image) + similar).sum().backward()
            adam.step()
            network.zero_grad(set_to_none=True)

        return alone(plain(step))

    return [Row(f"refinement step, {SIZE} px", ours, theirs, FAST)]


def adapt_rows() -> list[Row]:
    """A step of g to g': adversarial, R1 and path length as they come round, one picture."""
    plan = AdaptPlan(1, 0, schedule.RATE, 1.0, 0.0, 0.0, 1.0, 0.9, schedule.STEP_OPTIONS)

    def side(kind: type[AdaptTraining], dtype: Any) -> Cycle:
        generator = built(lambda: StyleGAN2(SIZE), dtype)
        images = pictures(EXEMPLARS, SIZE)
        training = kind(
            generator,
            DiscriminatorTrainer(built(lambda: Discriminator(SIZE), dtype), schedule.DISCRIMINATOR),
            built(LPIPS, dtype),
            lambda index: images[index],
            normal(EXEMPLARS, generator.rows, STYLE_DIM),
            SIZE,
            plan,
        )
        return steps(training.step, ADAPT_KINDS)

    return [
        Row(
            f"g' step, {SIZE} px",
            lambda: side(AdaptTraining, FAST),
            lambda: side(PublishedAdapt, torch.float32),
            FAST,
        )
    ]


def structure_rows() -> list[Row]:
    """A step of stage 2; every fourth encodes, and has the path length too."""

    def side(kind: type[StructureTraining], dtype: Any) -> Cycle:
        network = built(lambda: DualStyleGAN(StyleGAN2(SIZE)), dtype)
        training = kind(
            network,
            built(lambda: PublishedEncoder(network.generator.rows), dtype),
            DiscriminatorTrainer(
                built(lambda: Discriminator(SIZE), dtype), schedule.STRUCTURE_DISCRIMINATOR
            ),
            built(lambda: PublishedPerceptual(VGG19(), STAGE_2_WEIGHTS), dtype),
            SIZE,
            schedule.structure_plan(1),
        )
        return steps(training.step, ADAPT_KINDS)

    return [
        Row(
            f"stage 2 step, {SIZE} px",
            lambda: side(StructureTraining, FAST),
            lambda: side(PublishedStructure, torch.float32),
            FAST,
        )
    ]


def style_side(kind: type[StyleTraining], dtype: torch.dtype) -> StyleTraining:
    """Stage 3 of the paper's cartoon recipe, one picture a step."""
    network = built(lambda: DualStyleGAN(StyleGAN2(SIZE)), dtype)
    images = pictures(EXEMPLARS, SIZE)
    codes = normal(2, EXEMPLARS, network.generator.rows, STYLE_DIM)
    return kind(
        network,
        DiscriminatorTrainer(built(lambda: Discriminator(SIZE), dtype), schedule.DISCRIMINATOR),
        built(lambda: PublishedPerceptual(VGG19(), STAGE_2_WEIGHTS), dtype),
        built(lambda: PublishedIdentity(IRSE50()), dtype),
        lambda index: images[index],
        codes[0],
        codes[1],
        SIZE,
        schedule.style_plan("cartoon", 1, 1),
    )


def style_rows() -> list[Row]:
    """A step of stage 3: D, G, and R1 and path length as they come round."""

    def side(kind: type[StyleTraining], dtype: Any) -> Cycle:
        return steps(style_side(kind, dtype).step, STYLE_KINDS)

    return [
        Row(
            f"stage 3 step, {SIZE} px",
            lambda: side(StyleTraining, FAST),
            lambda: side(PublishedStyle, torch.float32),
            FAST,
        )
    ]


def steps(step: Callable[[int, torch.Generator], object], kinds: dict[int, float]) -> Cycle:
    """A training's step of each kind, with its share."""

    def work(number: int) -> Work:
        return lambda: step(number, torch.Generator().manual_seed(number))

    return [(share, work(number)) for number, share in kinds.items()]
