"""Occlusions: plain, soft-edged shapes where FFHQ crops have eyes, forehead, cheeks and chin.

Legend of shape suffixes: C channel, H height, W width. Images are in [0, 1]; coordinates u (to the
right) and v (down) run from 0 to 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from dualstylegan.pretraining.photograph.fields import (
    coordinates,
    draw_colour,
    happens,
    ramp,
    size_of,
    uniform,
)

# Mean positions in FFHQ crops: the eyes' height and distance from the middle, and boxes (u and v
# ranges) of hair and of skin, whose colours strands and hands take.
EYES_V = 0.475
EYES_U = 0.13
HAIR_BOX = ((0.35, 0.65), (0.11, 0.18))
SKIN_BOX = ((0.32, 0.44), (0.55, 0.63))

RIM_WIDTH = (0.002, 0.005)
RIM_HALF_WIDTH = (0.085, 0.115)
RIM_HALF_HEIGHT = (0.06, 0.095)
RIM_POWER = (2.0, 4.0)
RIM_BRIGHTNESS = (0.02, 0.3)
LENS_TINT = (0.0, 0.2)
STRAND_WIDTH = (0.012, 0.035)
STRAND_END = (0.45, 0.72)
STRAND_OPACITY = (0.7, 0.95)
BRIM_V = (0.16, 0.22)
BRIM_HEIGHT = (0.02, 0.06)
HAT_HALF_WIDTH = (0.3, 0.36)
BRIM_SHADE = (0.55, 0.85)
SCARF_V = (0.87, 0.94)
HAND_LIGHT = (0.8, 1.05)
CLOTH_BRIGHTNESS = (0.05, 0.6)
CLOTH_SATURATION = 0.3


def _cover(x_CHW: Tensor, colour_CHW: Tensor, opacity_HW: Tensor) -> Tensor:
    """Lay a colour over the image."""
    return torch.lerp(x_CHW, colour_CHW, opacity_HW[None])


def _mean_colour(x_CHW: Tensor, box: tuple[tuple[float, float], tuple[float, float]]) -> Tensor:
    """Return the mean colour (3, 1, 1) of a box."""
    height, width = size_of(x_CHW)
    (left, right), (top, bottom) = box
    part = x_CHW[
        :, int(top * height) : int(bottom * height), int(left * width) : int(right * width)
    ]
    return part.mean((1, 2), keepdim=True)


def _pixel(x_CHW: Tensor) -> float:
    """Return the width of a pixel in units of u: edges are never sharper."""
    return 1 / x_CHW.shape[-1]


@dataclass(frozen=True)
class Glasses:
    """Rims, bridge, temples and lightly tinted lenses.

    Attributes:
        colour: of the rims.
        rim: half the width of a rim at the height of the eyes; it is wider above, narrower below.
        lens: half width and half height of a lens.
        power: of the superellipse; 2 is an ellipse.
        tint: share of the light that the lenses take.
        offset: of the height from that of the eyes.
    """

    colour: tuple[float, ...]
    rim: float
    lens: tuple[float, float]
    power: float
    tint: float
    offset: float

    @classmethod
    def draw(cls, rng: torch.Generator) -> Glasses:
        return cls(
            draw_colour(RIM_BRIGHTNESS, 0.25, rng),
            uniform(RIM_WIDTH, rng),
            (uniform(RIM_HALF_WIDTH, rng), uniform(RIM_HALF_HEIGHT, rng)),
            uniform(RIM_POWER, rng),
            uniform(LENS_TINT, rng),
            uniform((0.0, 0.02), rng),
        )

    def __call__(self, x_CHW: Tensor) -> Tensor:
        u, v = coordinates(size_of(x_CHW), x_CHW.device)
        beside, below = (u - 0.5).abs(), v - EYES_V - self.offset
        half_width, half_height = self.lens
        radius = (((beside - EYES_U).abs() / half_width).pow(self.power)) + (
            below.abs() / half_height
        ).pow(self.power)
        # Near the rim, the relative radius times the smaller half axis approximates the distance.
        from_rim = (radius.clamp(min=1e-6).pow(1 / self.power) - 1) * min(self.lens)
        soft = _pixel(x_CHW)
        rim = self.rim * (1 - 0.5 * (below / half_height).clamp(-1, 1))
        line = ramp(from_rim.abs() - rim, soft, -0.5 * soft)
        bridge_end, temple = EYES_U - half_width, EYES_U + half_width
        bar = ramp((below + 0.25 * half_height).abs(), self.rim + soft, self.rim - 0.5 * soft)
        sides = ramp(beside, temple - soft, temple + soft) * ramp(
            beside, temple + 0.07, temple + 0.02
        )
        line = torch.maximum(line, bar * ((beside < bridge_end) + sides))
        tinted = x_CHW * (1 - self.tint * ramp(from_rim, soft, -soft))
        return _cover(tinted, x_CHW.new_tensor(self.colour)[:, None, None], line)


@dataclass(frozen=True)
class Strand:
    """Strand of hair from the forehead down one side, in the hair's own colour.

    Attributes:
        path: u at the top, and its linear and quadratic change with v.
        width: half of it, at the top.
        end: v of the tip.
        opacity: at the top.
    """

    path: tuple[float, float, float]
    width: float
    end: float
    opacity: float

    @classmethod
    def draw(cls, rng: torch.Generator) -> Strand:
        side = 1.0 if happens(0.5, rng) else -1.0
        start = 0.5 + side * uniform((-0.05, 0.1), rng)
        path = (start, side * uniform((0.1, 0.3), rng), side * uniform((0.0, 0.25), rng))
        return cls(
            path, uniform(STRAND_WIDTH, rng), uniform(STRAND_END, rng), uniform(STRAND_OPACITY, rng)
        )

    def __call__(self, x_CHW: Tensor) -> Tensor:
        u, v = coordinates(size_of(x_CHW), x_CHW.device)
        start, linear, quadratic = self.path
        across = (u - start - linear * v - quadratic * v * v).abs()
        width = self.width * (1 - 0.6 * v / self.end)
        opacity = self.opacity * ramp(v, self.end, self.end - 0.25) * ramp(v, 0.06, 0.16)
        fibres = 0.7 + 0.3 * torch.cos(across * (5 * math.pi / self.width))
        covered = opacity * fibres * ramp(across - width, 0.5 * self.width + _pixel(x_CHW), 0.0)
        return _cover(x_CHW, 0.85 * _mean_colour(x_CHW, HAIR_BOX), covered)


@dataclass(frozen=True)
class Hat:
    """Hat above the forehead, its brim, and the brim's shade.

    Attributes:
        colour: of the cloth.
        edge: v of the brim's lower edge in the middle.
        bend: fall of the brim towards the sides.
        brim: height of the brim.
        half_width: of the crown.
        shade: light that remains below the brim.
    """

    colour: tuple[float, ...]
    edge: float
    bend: float
    brim: float
    half_width: float
    shade: float

    @classmethod
    def draw(cls, rng: torch.Generator) -> Hat:
        return cls(
            draw_colour(CLOTH_BRIGHTNESS, CLOTH_SATURATION, rng),
            uniform(BRIM_V, rng),
            uniform((0.1, 0.5), rng),
            uniform(BRIM_HEIGHT, rng),
            uniform(HAT_HALF_WIDTH, rng),
            uniform(BRIM_SHADE, rng),
        )

    def __call__(self, x_CHW: Tensor) -> Tensor:
        u, v = coordinates(size_of(x_CHW), x_CHW.device)
        beside = (u - 0.5).abs()
        below = v - self.edge - self.bend * beside.square()
        brim_end = self.half_width + 0.06
        shade = ramp(below, 0.14, 0.0) * ramp(beside, brim_end, brim_end - 0.1)
        shaded = x_CHW * (1 - (1 - self.shade) * shade)
        crown = ramp(beside, self.half_width + 0.01, self.half_width - 0.01)
        brim = ramp(-below, self.brim + 0.006, self.brim - 0.006) * ramp(
            beside, brim_end, brim_end - 0.02
        )
        covered = torch.maximum(crown, brim) * ramp(below, 0.006, -0.006)
        # The crown is round, the brim catches more light.
        light = 1 - 0.4 * (beside / brim_end).square() + 0.25 * brim
        colour = x_CHW.new_tensor(self.colour)[:, None, None]
        return _cover(shaded, (colour * light).clamp(0, 1), covered)


@dataclass(frozen=True)
class Scarf:
    """Cloth around the neck, up to the chin, with soft folds.

    Attributes:
        colour: of the cloth.
        edge: v of its upper edge in the middle.
        folds: number of folds across the image.
        slant: of the folds.
    """

    colour: tuple[float, ...]
    edge: float
    folds: float
    slant: float

    @classmethod
    def draw(cls, rng: torch.Generator) -> Scarf:
        return cls(
            draw_colour(CLOTH_BRIGHTNESS, CLOTH_SATURATION, rng),
            uniform(SCARF_V, rng),
            uniform((2.0, 6.0), rng),
            uniform((-1.0, 1.0), rng),
        )

    def __call__(self, x_CHW: Tensor) -> Tensor:
        u, v = coordinates(size_of(x_CHW), x_CHW.device)
        below = v - self.edge + 0.5 * (u - 0.5).square()
        wave = torch.sin(2 * math.pi * self.folds * (v + self.slant * (u - 0.5) * (u - 0.5)))
        knit = torch.sin(160 * u) * torch.sin(160 * v)
        light = 0.9 + 0.15 * wave + 0.06 * knit
        cloth = x_CHW.new_tensor(self.colour)[:, None, None] * light
        return _cover(x_CHW, cloth, ramp(below, -0.008, 0.008))


@dataclass(frozen=True)
class Hand:
    """Fingers on the chin or a cheek, in the colour of the skin.

    Attributes:
        tips: u and v of the fingers' tips.
        slope: horizontal change per unit of height, towards the palm.
        width: half of a finger's.
        light: on the hand, relative to the face.
    """

    tips: tuple[tuple[float, float], ...]
    slope: float
    width: float
    light: float

    @classmethod
    def draw(cls, rng: torch.Generator) -> Hand:
        side = 1.0 if happens(0.5, rng) else -1.0
        width = uniform((0.028, 0.036), rng)
        first = 0.5 + side * uniform((0.14, 0.2), rng)
        height = uniform((0.72, 0.8), rng)
        arch = (0.02, 0.0, 0.01, 0.05)
        tips = tuple(
            (first + side * 1.9 * width * i, height + drop + uniform((0.0, 0.02), rng))
            for i, drop in enumerate(arch)
        )
        return cls(tips, side * uniform((0.0, 0.3), rng), width, uniform(HAND_LIGHT, rng))

    def __call__(self, x_CHW: Tensor) -> Tensor:
        u, v = coordinates(size_of(x_CHW), x_CHW.device)
        skin = self.light * _mean_colour(x_CHW, SKIN_BOX)
        soft = 0.004 + 0.5 * _pixel(x_CHW)
        for tip_u, tip_v in self.tips:
            # Distance to the finger's axis, a half line from its tip downwards.
            along = (v - tip_v).clamp(min=0)
            across = u - tip_u - self.slope * along
            distance = (across.square() + (v - tip_v).clamp(max=0).square()).sqrt()
            round_light = 1 - 0.22 * (distance / self.width).clamp(0, 1).square()
            covered = ramp(distance - self.width, soft, -soft)
            x_CHW = _cover(x_CHW, (skin * round_light).clamp(0, 1), covered)
        return x_CHW
