"""Settings of the base models' training: data/base/params.yaml, checked whole."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tasks.shared.settings import Section


class Heads(Section):
    """RGB heads."""

    images: int = Field(ge=128, le=100_000, description="generated faces")
    pixels: int = Field(ge=256, le=65_536, description="kept of each face and size")
    steps: int = Field(ge=1, le=1_000_000)
    rate: float = Field(gt=0, le=0.1)
    average_decay: float = Field(ge=0, lt=1)


class Encoder(Section):
    """The encoder into Z+."""

    start: Literal["imagenet", "shipped"] = Field(
        description="from the backbone's ImageNet weights, or on from data/base/encoder.safetensors"
    )
    steps: int = Field(ge=1, le=10_000_000)
    batch: int = Field(ge=2, le=1024, description="faces a step")
    rendered: int = Field(ge=0, le=1024, description="of them compared as pictures")
    pictures_from: int = Field(ge=0, description="step at which pictures join the codes")
    ring_faces: int = Field(ge=16, le=1_000_000, description="faces kept to be drawn again")
    first_faces: int = Field(ge=16, le=1_000_000, description="made before the first step")
    chunk: int = Field(ge=1, le=1024, description="new faces a step")
    backbone_rate: float = Field(gt=0, le=0.1)
    head_rate: float = Field(gt=0, le=0.1)
    average_decay: float = Field(ge=0, lt=1)


class Structure(Section):
    """Structure transfer, stage 2 of progressive fine-tuning."""

    feature_steps: int = Field(ge=0, le=1_000_000, description="held to features, not to images")
    feature_batch: int = Field(ge=1, le=1024)
    feature_rate: float = Field(gt=0, le=0.1)
    steps: int = Field(ge=1, le=1_000_000)
    batch: int = Field(ge=1, le=1024)
    rate: float = Field(gt=0, le=0.1)
    six_from: int = Field(ge=0, description="step at which l becomes 6")
    five_from: int = Field(ge=0, description="step at which l becomes 5")
    average_decay: float = Field(ge=0, lt=1)


class Measure(Section):
    """Held-out figures of the base models."""

    faces: int = Field(ge=1, le=10_000, description="generated faces")
    painted: int = Field(ge=0, le=200, description="of the demo's own exemplars")
    optimise_steps: int = Field(ge=1, le=10_000, description="from the mean code, to compare with")
    extra_steps: int = Field(ge=1, le=10_000, description="after the encoder")


class BaseProfile(Section):
    """All of it for one kind of machine."""

    heads: Heads
    encoder: Encoder
    structure: Structure
    measure: Measure


class BaseSettings(Section):
    """data/base/params.yaml."""

    use: Literal["cpu", "gpu"] = Field(description="which of the two profiles below")
    seed: int = Field(default=7, ge=0, lt=2**31)
    cpu: BaseProfile
    gpu: BaseProfile

    @property
    def chosen(self) -> BaseProfile:
        """The profile in use."""
        return self.cpu if self.use == "cpu" else self.gpu
