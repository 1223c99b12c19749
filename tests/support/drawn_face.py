"""Drawn face with its landmarks: beard, smile, creases, hair and skin are set one by one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from dualstylegan.evaluation.bootstrap import Array
from tests.support.schematic_face import SIZE, face_points

Pixels = NDArray[np.bool_]

PIXELS = 256
MOUTH = slice(48, 68)


@dataclass(frozen=True)
class DrawnFace:
    """Face to be drawn; shades are grey levels of 255.

    Attributes:
        beard: darkness and grain of moustache, chin and jaws; 0: shaven.
        smile: width and lift of the mouth's corners; 0: at rest.
        creases: contrast of fine lines in the skin.
        hair, skin: shades.
        curls: no direction of the strands; False: they fall straight.
        shift: of the whole face to the right and down, in pixels.
    """

    beard: float = 0.0
    smile: float = 0.0
    creases: float = 0.0
    hair: float = 120.0
    skin: float = 190.0
    curls: bool = False
    shift: int = 0

    def landmarks(self) -> Array:
        """Return the 68 landmarks in pixels."""
        points = face_points() / SIZE
        mouth = points[MOUTH]
        middle = mouth.mean(0)
        across = (mouth[:, 0] - middle[0]) / np.ptp(mouth[:, 0]) * 2
        mouth[:, 0] = middle[0] + (mouth[:, 0] - middle[0]) * (1 + 0.3 * self.smile)
        mouth[:, 1] -= 0.03 * self.smile * across**2
        landmarks: Array = points * PIXELS + self.shift
        return landmarks

    def image(self) -> Tensor:
        """Return the picture, uint8 (3, PIXELS, PIXELS)."""
        rng = np.random.default_rng(0)
        noise = rng.standard_normal((PIXELS, PIXELS))
        y, x = np.mgrid[:PIXELS, :PIXELS] - self.shift
        strands = 25 * (noise if self.curls else np.sin(2 * np.pi * x / 8))
        level = np.full((PIXELS, PIXELS), 150.0)
        hair = _ellipse(x, y, 0.42, 0.44, 0.44)
        level[hair] = (self.hair + strands)[hair]
        skin = _ellipse(x, y, 0.56, 0.235, 0.31) | self._jaw()
        lines = self.creases * np.sin(2 * np.pi * y / 5)
        level[skin] = (self.skin + noise + lines)[skin]
        bearded = skin & (y > 0.66 * PIXELS) | skin & (y > 0.615 * PIXELS) & (abs(x - 128) < 22)
        level[bearded] -= self.beard * (40 - 15 * noise)[bearded]
        grey = torch.from_numpy(level.clip(0, 255).astype(np.uint8))
        return grey[None].expand(3, -1, -1).clone()

    def _jaw(self) -> Pixels:
        mask = Image.new("1", (PIXELS, PIXELS))
        corners = [(float(x), float(y)) for x, y in self.landmarks()[:17]]
        ImageDraw.Draw(mask).polygon(corners, fill=1)
        inside: Pixels = np.array(mask)
        return inside


def _ellipse(x: Array, y: Array, middle: float, half_width: float, half_height: float) -> Pixels:
    u, v = x / PIXELS - 0.5, y / PIXELS - middle
    inside: Pixels = (u / half_width) ** 2 + (v / half_height) ** 2 < 1
    return inside
