"""Photographic degradations of a generated face, drawn at random and applied in physical order.

Legend of shape suffixes: N image, C channel, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from dualstylegan.pretraining.photograph.camera import (
    QUALITY,
    SMALL_QUALITY,
    Compression,
    Defocus,
    Framing,
    Monochrome,
    Motion,
    Noise,
    Shrink,
    Tone,
    Vignette,
)
from dualstylegan.pretraining.photograph.fields import happens
from dualstylegan.pretraining.photograph.occlusion import Glasses, Hand, Hat, Scarf, Strand
from dualstylegan.pretraining.photograph.scene import Background, Light, Shadow


class Degradation(Protocol):
    """Dataclass of parameters; called with an image (3, H, W) in [0, 1], it returns another."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @classmethod
    def draw(cls, rng: torch.Generator, /) -> Degradation:
        """Draw the parameters."""

    def __call__(self, x_CHW: Tensor, /) -> Tensor:
        """Degrade an image."""


Kinds = tuple[tuple[type[Degradation], float], ...]

BACKGROUND_PROBABILITY = 0.5
OCCLUSION_PROBABILITY = 0.15
# In this order between background and occlusion, and the file.
CAMERA: Kinds = (
    (Light, 0.85),
    (Shadow, 0.2),
    (Framing, 0.9),
    (Defocus, 0.25),
    (Motion, 0.1),
    (Vignette, 0.25),
    (Tone, 0.7),
    (Monochrome, 0.08),
)
SHRINK_PROBABILITY = 0.3
NOISE_PROBABILITY = 0.5
COMPRESSION_PROBABILITY = 0.6
# Relative frequencies of the occlusions; never more than one in a photograph.
OCCLUSIONS: Kinds = ((Glasses, 0.3), (Strand, 0.25), (Hat, 0.15), (Hand, 0.15), (Scarf, 0.15))


@dataclass(frozen=True)
class Photograph:
    """Degradations of one photograph, in their physical order."""

    degradations: tuple[Degradation, ...]

    @classmethod
    def draw(
        cls, rng: torch.Generator, occlusion_probability: float = OCCLUSION_PROBABILITY
    ) -> Photograph:
        """Draw degradations and their parameters.

        Args:
            rng: random generator on the CPU.
            occlusion_probability: probability that something covers part of the face.
        """
        drawn: list[Degradation] = []
        if happens(BACKGROUND_PROBABILITY, rng):
            drawn.append(Background.draw(rng))
        if happens(occlusion_probability, rng):
            drawn.append(draw_occlusion(rng))
        for kind, probability in CAMERA:
            if happens(probability, rng):
                drawn.append(kind.draw(rng))
        return cls((*drawn, *draw_file(rng)))

    def __call__(self, x_CHW: Tensor) -> Tensor:
        """Apply the degradations to an image (3, H, W) in [-1, 1]."""
        x = x_CHW.add(1).div(2).clamp(0, 1)
        for degradation in self.degradations:
            x = degradation(x)
        return x.mul(2).sub(1).clamp(-1, 1)

    @property
    def names(self) -> list[str]:
        """Names of the degradations, those of a smaller file after its own."""
        steps = [(step, *getattr(step, "inner", ())) for step in self.degradations]
        return [type(step).__name__.lower() for group in steps for step in group]

    def facts(self) -> dict[str, dict[str, Any]]:
        """Return names and parameters, in order."""
        return {type(step).__name__.lower(): asdict(step) for step in self.degradations}


def draw_occlusion(rng: torch.Generator) -> Degradation:
    """Draw one occlusion."""
    shares = torch.tensor([share for _, share in OCCLUSIONS])
    kind, _ = OCCLUSIONS[int(torch.multinomial(shares, 1, generator=rng))]
    return kind.draw(rng)


def draw_file(rng: torch.Generator) -> tuple[Degradation, ...]:
    """Draw noise and compression, at the crop's size or at that of a smaller file."""
    shrink = Shrink.draw(rng) if happens(SHRINK_PROBABILITY, rng) else None
    inner: list[Noise | Compression] = []
    if happens(NOISE_PROBABILITY, rng):
        inner.append(Noise.draw(rng))
    if happens(COMPRESSION_PROBABILITY, rng):
        inner.append(Compression.draw(rng, QUALITY if shrink is None else SMALL_QUALITY))
    return tuple(inner) if shrink is None else (Shrink(shrink.factor, tuple(inner)),)


def per_image(
    x_NCHW: Tensor, rng: torch.Generator, degrade: Callable[[Tensor, torch.Generator], Tensor]
) -> Tensor:
    """Degrade each image with a random generator of its own, seeded from `rng`.

    Image i depends on the i-th number drawn from `rng` alone, not on the rest of the batch.
    """
    seeds = torch.randint(2**62, (len(x_NCHW),), generator=rng).tolist()
    return torch.stack(
        [
            degrade(x_CHW, torch.Generator().manual_seed(seed))
            for x_CHW, seed in zip(x_NCHW, seeds, strict=True)
        ]
    )


@torch.no_grad()
def photograph(x_NCHW: Tensor, rng: torch.Generator) -> Tensor:
    """Turn generated faces (N, 3, H, W), FFHQ crops in [-1, 1], into ordinary photographs of them.

    Args:
        x_NCHW: at least 64 pixels to a side.
        rng: random generator on the CPU.
    """
    return per_image(x_NCHW, rng, lambda x_CHW, own: Photograph.draw(own)(x_CHW))
