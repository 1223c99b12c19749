"""Settings of the base models' training: the schema of tasks/base/params.yaml."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tasks.shared.sections import Section
from tasks.shared.settings import Decay, LearningRate, Machine, Profile


class Heads(Section):
    """RGB heads of the embedded generator."""

    images: int = Field(ge=128, le=100_000, description="number of generated faces")
    pixels: int = Field(ge=256, le=65_536, description="pixels per face and output size")
    steps: int = Field(ge=1, le=1_000_000, description="number of training steps")
    rate: LearningRate = Field(description="peak learning rate of Adam")
    average_decay: Decay = Field(description="decay per step of the moving average; 0: none")


class Encoder(Section):
    """Encoder into Z+."""

    start: Literal["imagenet", "shipped"] = Field(
        description="initial weights: the backbone's ImageNet weights, or those of data/base"
    )
    steps: int = Field(ge=1, le=10_000_000, description="number of training steps")
    batch: int = Field(ge=2, le=1024, description="faces per step")
    passes: int = Field(ge=1, le=10, description="passes of the encoder over each face (ReStyle)")
    rendered: int = Field(
        ge=0, le=1024, description="faces of a batch that LPIPS, the costliest loss, sees; 0: off"
    )
    pictures_from: int = Field(
        ge=0, description="first step with losses on images and more than one pass; 0: all steps"
    )
    ring_faces: int = Field(
        ge=16, le=1_000_000, description="generated faces in the buffer that batches are taken from"
    )
    first_faces: int = Field(
        ge=16, le=1_000_000, description="faces generated before the first step"
    )
    chunk: int = Field(ge=1, le=1024, description="faces generated per step")
    backbone_rate: LearningRate = Field(description="peak learning rate of the backbone")
    head_rate: LearningRate = Field(description="peak learning rate of the heads")
    identity_rate: LearningRate = Field(
        description="peak learning rate of the correction by identity"
    )
    average_decay: Decay = Field(description="decay per step of the moving average; 0: none")


class Structure(Section):
    """Structure transfer: stage 2 of progressive fine-tuning."""

    feature_steps: int = Field(
        ge=0, le=1_000_000, description="steps on feature maps before those on images; 0: none"
    )
    feature_batch: int = Field(ge=1, le=1024, description="faces per step on feature maps")
    feature_rate: LearningRate = Field(description="initial learning rate on feature maps")
    steps: int = Field(ge=1, le=1_000_000, description="steps on images")
    batch: int = Field(ge=1, le=1024, description="images per step")
    rate: LearningRate = Field(description="learning rate on images")
    six_from: int = Field(ge=0, description="step at which l becomes 6")
    five_from: int = Field(ge=0, description="step at which l becomes 5")
    average_decay: Decay = Field(description="decay per step of the moving average; 0: none")


class Pastiche(Section):
    """Training on pastiches of known processes, after stage 2."""

    start: Literal["structure", "shipped"] = Field(
        description="initial weights: those of stage 2, or those of data/base"
    )
    steps: int = Field(ge=1, le=1_000_000, description="number of steps, of one process each")
    rate: LearningRate = Field(description="peak learning rate")
    identity_weight: float = Field(ge=0, le=100, description="lambda_ID; 0: off")
    jitter: float = Field(ge=0, le=10, description="noise on style codes in W+; 0: off")
    ring_faces: int = Field(
        ge=16, le=1_000_000, description="generated faces in the buffer that steps draw from"
    )
    first: int = Field(
        ge=0,
        le=1_000_000,
        description="number of the first process and face; 0: those of a first training",
    )
    average_decay: Decay = Field(description="decay per step of the moving average; 0: none")


class Measure(Section):
    """Held-out measures of the base models."""

    faces: int = Field(ge=1, le=10_000, description="number of generated faces")
    painted: int = Field(ge=0, le=200, description="number of the demo's exemplars; 0: none")
    optimise_steps: int = Field(
        ge=1, le=10_000, description="steps of the optimisation from the mean code"
    )
    passes: int = Field(ge=1, le=20, description="passes of the encoder")
    extra_steps: int = Field(
        ge=1, le=10_000, description="steps of the optimisation from the encoder's code"
    )


class Budget(Section):
    """All stages, sized for one kind of machine."""

    heads: Heads
    encoder: Encoder
    structure: Structure
    pastiche: Pastiche
    measure: Measure


class BaseSettings(Section):
    """All of tasks/base/params.yaml."""

    profile: Profile
    runtime: Machine
    use: Literal["cpu", "gpu"] = Field(description="budget in use: one of the two below")
    cpu: Budget
    gpu: Budget

    @property
    def chosen(self) -> Budget:
        """The budget in use."""
        return self.cpu if self.use == "cpu" else self.gpu
