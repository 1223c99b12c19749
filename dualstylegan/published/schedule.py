"""Published schedule: the profile `paper-1024` as plans of our trainers.

Batches are per pass; a step of the paper is 32 images: 8 GPUs of 4, or 8 passes of 4 here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from dualstylegan.codes.inversion import OptimizationSchedule
from dualstylegan.errors import SettingsError
from dualstylegan.finetuning.discriminator import DiscriminatorPlan
from dualstylegan.finetuning.step import StepOptions
from dualstylegan.finetuning.structure import StructurePlan
from dualstylegan.finetuning.style import StylePlan

PASS_IMAGES = 4
PASSES = 8
STEP_IMAGES = PASS_IMAGES * PASSES
RATE = 0.002
# Moving averages with a half-life of 10,000 images.
AVERAGE_DECAY = 0.5 ** (STEP_IMAGES / 10_000)
STRUCTURE_AVERAGE_DECAY = 0.5 ** (PASS_IMAGES / 10_000)

STEP_OPTIONS = StepOptions(path_weight=2.0, path_steps=4)

ADAPT_STEPS = 600
# Stage 2: rows before l from the first face; l = 7, 6, 5 for 300, 300 and 3000 steps.
STRUCTURE_PHASES = ((7, 0), (6, 300), (5, 600))
STRUCTURE_STEPS = 3600

DISCRIMINATOR = DiscriminatorPlan(
    rate=RATE,
    r1_weight=5.0,
    r1_steps=16,
    augment=0.0,
    augment_target=0.6,
    augment_images=500_000,
)
# Stage 2 scales D's loss by 0.1, and not R1.
STRUCTURE_DISCRIMINATOR = replace(DISCRIMINATOR, weight=0.1, augment_target=0.0)
DESTYLIZATION = OptimizationSchedule(steps=300, ramp_up=0.05, ramp_down=0.25)
DESTYLIZATION_RATE = 0.1
REFINEMENT = OptimizationSchedule(steps=100, ramp_up=0.0, ramp_down=0.0)
REFINEMENT_STRUCTURE_RATE = 0.005


@dataclass(frozen=True)
class StyleRecipe:
    """Settings that the authors tuned per style.

    Attributes:
        identity: lambda_ID.
        regular: lambda_reg.
        steps: steps of stage 3.
        color_rate: learning rate of the colour rows in refinement.
    """

    identity: float
    regular: float
    steps: int
    color_rate: float = 0.01


RECIPES = {
    "cartoon": StyleRecipe(identity=1.0, regular=0.015, steps=1400, color_rate=0.1),
    "caricature": StyleRecipe(identity=4.0, regular=0.005, steps=1000),
    "anime": StyleRecipe(identity=1.0, regular=0.02, steps=2100),
}


def recipe(style: str) -> StyleRecipe:
    """Return the published recipe of a style.

    Raises:
        SettingsError: the paper has no recipe for it.
    """
    if style not in RECIPES:
        raise SettingsError(
            "no published recipe", value=style, limit=", ".join(RECIPES), fix="start from cartoon's"
        )
    return RECIPES[style]


def structure_plan(batch: int = PASS_IMAGES) -> StructurePlan:
    """Return the plan of stage 2; `vgg19.STAGE_2_WEIGHTS` holds its perceptual weights."""
    return StructurePlan(
        batch=batch,
        rate=RATE,
        phases=STRUCTURE_PHASES,
        encoded_steps=4,
        adversarial_weight=0.1,
        perceptual_weight=1.0,
        pixel_weight=0.0,
        truncation=1.0,
        step_options=STEP_OPTIONS,
    )


def style_plan(style: str, batch: int = PASS_IMAGES, passes: int = PASSES) -> StylePlan:
    """Return the plan of stage 3 for a style of the paper: batch * passes images per step."""
    chosen = recipe(style)
    return StylePlan(
        batch=batch,
        rate=RATE,
        adversarial=1.0,
        perceptual=1.0,
        contextual=0.25,
        matching=0.25,
        identity=chosen.identity,
        distinction=0.0,
        content=0.0,
        tone=0.0,
        regular=chosen.regular,
        regularise="mod_res",
        variety=0.0,
        mixing=0.9,
        truncation=1.0,
        jitter=0.1,
        panel_faces=4,
        panel_styles=8,
        step_options=replace(STEP_OPTIONS, accumulation=passes),
    )
