"""Random processes from a face to its pastiche: a character's warp, then a painting.

Legend of shape suffixes: K landmark, C channel, H height, W width.

A process is drawn from a seed and applied to any face, so that the pastiche of one person and an
exemplar of another come from the same process: the ground truth of style transfer.
"""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dualstylegan.io.images import LUMA, luma
from dualstylegan.pretraining.painting.brushwork import gaussian_blur
from dualstylegan.pretraining.painting.paint import STYLES, Brush, Painter, Palette, Scale
from dualstylegan.pretraining.painting.warp import Character, exaggerate, moved

# Standard deviation of the logarithm of a scale, or of a shift; limits at two of them.
SCALE_SPREAD = {"eyes": 0.24, "nose": 0.2, "mouth": 0.16, "jaw": 0.28, "cheeks": 0.16, "head": 0.12}
SHIFT_SPREAD = {"chin": 0.12, "brows": 0.05, "smile": 0.04}
SPREADS = 2.0
# Shares of processes without a warp, without strokes of the style network, tones, lines, and of
# those whose colours the style network sets.
UNWARPED, STROKELESS, TONELESS, LINELESS, NETWORK_COLOURS = 0.2, 0.4, 0.5, 0.35, 0.25
# Luminance of a scale's colours, from dark to bright.
LEVELS = (0.10, 0.30, 0.52, 0.74, 0.93)
LEVEL_SPREAD = 0.05
# Shares of processes with turned hues, with a light from one side, with faces of any hue, and with
# another scale for the ground. Other faces have the hue of skin: mean and spread in turns.
TURNED, LIT, ANY_HUE, TWO_SCALES = 0.15, 0.4, 0.4, 0.7
SKIN_HUE = (0.06, 0.04)
MAX_LIGHT = 0.35


@dataclass(frozen=True)
class Process:
    """Process of a style; the same process makes exemplars and pastiches.

    Attributes:
        character: exaggeration.
        palette, brush: of the painting.
        network: share of the style network's own colours.
        turn: angle in radians by which the remaining colours of the photo are turned.
        light: strength of a light from one side, at most `MAX_LIGHT`; 0: none.
        light_angle: its direction in radians.
    """

    character: Character
    palette: Palette
    brush: Brush
    network: float = 0.0
    turn: float = 0.0
    light: float = 0.0
    light_angle: float = 0.0

    def __call__(self, painter: Painter, face_CHW: Tensor, landmarks_K2: Tensor) -> Tensor:
        """Paint the pastiche (3, H, H) in [-1, 1] of a square face.

        Args:
            painter: painter with the style network.
            face_CHW: face in [-1, 1].
            landmarks_K2: its 68 landmarks in pixels.
        """
        warped = exaggerate(face_CHW, landmarks_K2.double().numpy(), self.character)
        points = moved(landmarks_K2, self.character, face_CHW.shape[-1])
        lit = self._lit(warped.add(1).div(2))
        painted = painter.paint(lit, points, self.palette, self.brush)
        if self.network:
            styled = gaussian_blur(painter.stylised(lit, self.brush.style), face_CHW.shape[-1] / 80)
            colours = styled + (luma(painted) - luma(styled))
            painted = torch.lerp(painted, colours, self.network)
        return self._turned(painted).clamp(0, 1).mul(2).sub(1)

    def _lit(self, image_CHW: Tensor) -> Tensor:
        if not self.light:
            return image_CHW
        line = torch.linspace(-1, 1, image_CHW.shape[-1])
        side = (
            math.cos(self.light_angle) * line[None, :] + math.sin(self.light_angle) * line[:, None]
        )
        return (image_CHW * (1 + self.light * side)).clamp(0, 1)

    def _turned(self, image_CHW: Tensor) -> Tensor:
        """Turn the hue: a rotation of chroma about grey."""
        if not self.turn:
            return image_CHW
        light = luma(image_CHW)
        chroma = image_CHW - light
        u, v = chroma[2], chroma[0]
        c, s = math.cos(self.turn), math.sin(self.turn)
        blue, red = c * u - s * v, s * u + c * v
        green = -(LUMA[0] * red + LUMA[2] * blue) / LUMA[1]
        return light + torch.stack((red, green, blue))


def draw_process(seed: int) -> Process:
    """Draw a process; it depends on its seed alone."""
    rng = np.random.default_rng(seed)
    brush = _brush(rng)
    network = float(rng.uniform(0.4, 1.0)) if rng.random() < NETWORK_COLOURS else 0.0
    return Process(
        _character(rng),
        _palette(rng),
        brush,
        network=network,
        turn=float(rng.uniform(-math.pi, math.pi)) if rng.random() < TURNED else 0.0,
        light=float(rng.uniform(0, MAX_LIGHT)) if rng.random() < LIT else 0.0,
        light_angle=float(rng.uniform(-math.pi, math.pi)),
    )


def _character(rng: np.random.Generator) -> Character:
    if rng.random() < UNWARPED:
        return Character()

    def drawn(spread: float) -> float:
        return spread * float(np.clip(rng.standard_normal(), -SPREADS, SPREADS))

    scales = {name: math.exp(drawn(spread)) for name, spread in SCALE_SPREAD.items()}
    shifts = {name: drawn(spread) for name, spread in SHIFT_SPREAD.items()}
    return Character(**scales, **shifts)


def _scale(rng: np.random.Generator, hue: float, saturation: float) -> Scale:
    """Draw colours from dark to bright around a hue in turns."""
    drift = rng.normal(0, 0.05)
    colours = []
    for index, level in enumerate(LEVELS):
        light = float(np.clip(level + rng.normal(0, LEVEL_SPREAD), 0.02, 0.98))
        own = (hue + drift * index + rng.normal(0, 0.04)) % 1.0
        strength = float(np.clip(saturation * rng.uniform(0.5, 1.2), 0, 1))
        rgb = np.array(colorsys.hls_to_rgb(own, light, strength))
        rgb = np.clip(rgb + light - rgb @ LUMA, 0, 1)
        colours.append("".join(f"{round(255 * c):02x}" for c in rgb))
    return tuple(colours)


def _palette(rng: np.random.Generator) -> Palette:
    hue = rng.uniform(0, 1) if rng.random() < ANY_HUE else rng.normal(*SKIN_HUE)
    saturation = rng.beta(2, 2)
    face = _scale(rng, hue, saturation)
    ground = _scale(rng, rng.uniform(0, 1), rng.beta(2, 2)) if rng.random() < TWO_SCALES else face
    return Palette(face, ground, own=float(rng.beta(1.2, 1.8)))


def _brush(rng: np.random.Generator) -> Brush:
    return Brush(
        radius=float(rng.uniform(0.006, 0.018)),
        flow=float(rng.uniform(0.004, 0.03)),
        strokes=0.0 if rng.random() < STROKELESS else float(rng.uniform(0.2, 0.9)),
        style=int(rng.integers(STYLES)),
        tones=0 if rng.random() < TONELESS else int(rng.integers(3, 8)),
        ink=0.0 if rng.random() < LINELESS else float(rng.uniform(0.2, 1.0)),
    )
