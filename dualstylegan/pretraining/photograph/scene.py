"""Degradations in front of the camera: background, light and shadow.

Legend of shape suffixes: C channel, H height, W width, D bokeh disc. Images are FFHQ crops in
[0, 1]; each degradation is a function of such an image, its parameters drawn beforehand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from dualstylegan.pretraining.photograph.fields import (
    FIELD,
    coordinates,
    draw_colour,
    draw_seed,
    enlarge,
    gaussian_blur,
    happens,
    ramp,
    resize,
    size_of,
    uniform,
)

# A factor of f stops in linear light is one of f / 2.2 stops in display values.
DISPLAY_GAMMA = 2.2

# Background: brightness and saturation of its colour, contrast and cells of its texture, and the
# number, brightness and radius of out-of-focus lights on dark ones.
BACKGROUND_BRIGHTNESS = (0.08, 0.9)
BACKGROUND_SATURATION = 0.35
TEXTURE_CONTRAST = (0.05, 0.45)
TEXTURE_CELLS = (2, 9)
BOKEH_SHARE = 0.3
BOKEH_DISCS = (4, 14)
BOKEH_BRIGHTNESS = (0.1, 0.5)
BOKEH_RADIUS = (0.03, 0.09)

# Light: stops at the image's edges and of the exposure, relative gains of red against blue, and of
# green.
GRADIENT_STOPS = (0.0, 0.9)
EXPOSURE_STOPS = (-0.8, 0.5)
TEMPERATURE = (-0.1, 0.1)
GREEN = (-0.04, 0.04)

# Shadow: light that remains in it, width of its edge, distance of the edge from the centre.
SHADOW_LIGHT = (0.45, 0.8)
SHADOW_EDGE = (0.04, 0.3)
SHADOW_OFFSET = (-0.1, 0.25)


def head_mask(x_CHW: Tensor) -> Tensor:
    """Estimate the share of head and shoulders (1, H, W) at the size of a field.

    Face, hair and shoulders have their usual positions in an FFHQ crop. Around the face colours
    decide: what resembles the upper corners is background. The less the hair's usual region differs
    from the corners, the more its usual outline counts.
    """
    small = resize(x_CHW, FIELD)
    u, v = coordinates(FIELD, x_CHW.device)
    face = (((u - 0.5) / 0.25).square() + ((v - 0.57) / 0.36).square()).sqrt()
    head = (((u - 0.5) / 0.34).square() + ((v - 0.5) / 0.46).square()).sqrt()
    shoulders = ramp((u - 0.5).abs() - 2.2 * (v - 0.78), 0.16, 0.0) * ramp(v, 0.76, 0.9)
    corners = small[:, :28]
    left, right = corners[..., :5].mean((1, 2)), corners[..., -5:].mean((1, 2))
    behind = torch.lerp(left[:, None, None], right[:, None, None], u[None])
    unlike = ramp((small - behind).abs().mean(0), 0.05, 0.15) * ramp(head, 1.75, 1.3)
    hair = (head < 1) * (face > 1) * (v < 0.5)
    doubt = 1 - (unlike * hair).sum() / hair.sum()
    outline = ramp(head, 1.2, 0.9) * ramp(doubt, 0.05, 0.3)
    mask = torch.stack((ramp(face, 1.15, 0.9), outline, unlike, shoulders)).amax(0)
    return gaussian_blur(mask[None], 1.2)


@dataclass(frozen=True)
class Background:
    """Blurred background in place of the original one; soft at the outline, so no cut-out shows.

    Attributes:
        colour: mean RGB colour.
        cells: rows and columns of the texture.
        contrast: of the texture.
        discs: out-of-focus lights.
        seed: of texture and lights.
    """

    colour: tuple[float, ...]
    cells: tuple[int, int]
    contrast: float
    discs: int
    seed: int

    @classmethod
    def draw(cls, rng: torch.Generator) -> Background:
        bokeh = happens(BOKEH_SHARE, rng)
        low, high = TEXTURE_CELLS
        rows, columns = (int(torch.randint(low, high + 1, (), generator=rng)) for _ in range(2))
        discs = int(torch.randint(*BOKEH_DISCS, (), generator=rng)) if bokeh else 0
        brightness = BOKEH_BRIGHTNESS if bokeh else BACKGROUND_BRIGHTNESS
        return cls(
            draw_colour(brightness, BACKGROUND_SATURATION, rng),
            (rows, columns),
            uniform(TEXTURE_CONTRAST, rng),
            discs,
            draw_seed(rng),
        )

    def field(self) -> Tensor:
        """Return the background (3, H, W) at the size of a field."""
        rng = torch.Generator().manual_seed(self.seed)
        cells = torch.rand(1, 1, *self.cells, generator=rng)
        cells = cells + 0.3 * (torch.rand(1, 3, *self.cells, generator=rng) - 0.5)
        texture = F.interpolate(cells, FIELD, mode="bicubic", align_corners=True)[0]
        colour = torch.tensor(self.colour)[:, None, None]
        field = colour * (1 + 2 * self.contrast * (texture - 0.5))
        for _ in range(self.discs):
            field = field + self._disc(rng)
        return gaussian_blur(field, 1.2).clamp(0, 1)

    def _disc(self, rng: torch.Generator) -> Tensor:
        """Return one out-of-focus light (3, H, W)."""
        u, v = coordinates(FIELD, torch.device("cpu"))
        centre_u, centre_v = uniform((0.0, 1.0), rng), uniform((0.0, 0.8), rng)
        radius = uniform(BOKEH_RADIUS, rng)
        distance = ((u - centre_u).square() + (v - centre_v).square()).sqrt()
        colour = torch.tensor(draw_colour((0.1, 0.5), 0.5, rng))
        return colour[:, None, None] * ramp(distance, radius + 0.015, radius - 0.015)

    def __call__(self, x_CHW: Tensor) -> Tensor:
        size = size_of(x_CHW)
        mask = enlarge(head_mask(x_CHW), size)
        behind = enlarge(self.field().to(x_CHW.device), size)
        return torch.lerp(behind, x_CHW, mask)


@dataclass(frozen=True)
class Light:
    """Exposure, a light from one side, and the light's colour.

    Attributes:
        exposure: stops, of linear light.
        gradient: stops at the bright edge of the image; as many fewer at the dark one.
        direction: of the light, in radians.
        temperature: relative gain of red and loss of blue.
        green: relative gain of green.
    """

    exposure: float
    gradient: float
    direction: float
    temperature: float
    green: float

    @classmethod
    def draw(cls, rng: torch.Generator) -> Light:
        return cls(
            uniform(EXPOSURE_STOPS, rng),
            uniform(GRADIENT_STOPS, rng),
            uniform((-math.pi, math.pi), rng),
            uniform(TEMPERATURE, rng),
            uniform(GREEN, rng),
        )

    def __call__(self, x_CHW: Tensor) -> Tensor:
        u, v = coordinates(size_of(x_CHW), x_CHW.device)
        side = math.cos(self.direction) * (2 * u - 1) + math.sin(self.direction) * (2 * v - 1)
        gain = torch.exp2((self.exposure + self.gradient * side) / DISPLAY_GAMMA)
        warm = (1 + self.temperature, 1 + self.green, 1 - self.temperature)
        return (x_CHW * gain * x_CHW.new_tensor(warm)[:, None, None]).clamp(0, 1)


@dataclass(frozen=True)
class Shadow:
    """Shadow with a soft, straight edge across the face.

    Attributes:
        light: light that remains in the shadow, a share of display values.
        direction: from the lit side to the shadow, in radians.
        offset: distance of the edge from the centre.
        edge: width of the edge.
    """

    light: float
    direction: float
    offset: float
    edge: float

    @classmethod
    def draw(cls, rng: torch.Generator) -> Shadow:
        return cls(
            uniform(SHADOW_LIGHT, rng),
            uniform((-math.pi, math.pi), rng),
            uniform(SHADOW_OFFSET, rng),
            uniform(SHADOW_EDGE, rng),
        )

    def __call__(self, x_CHW: Tensor) -> Tensor:
        u, v = coordinates(size_of(x_CHW), x_CHW.device)
        depth = math.cos(self.direction) * (u - 0.5) + math.sin(self.direction) * (v - 0.5)
        return x_CHW * (1 - (1 - self.light) * ramp(depth, self.offset, self.offset + self.edge))
