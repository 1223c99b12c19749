"""Painting of a portrait: palettes for face and ground, brush strokes, crisp eyes and lines.

Legend of shape suffixes: K landmark, C channel, H height, W width; 1HW one channel.

Images are (3, H, W) in [0, 1]. A palette maps luminance to colours: one scale for the face, another
for everything around it. A brush sets the size of flat patches, the length of strokes along edges,
the share of a style network's strokes, and the amount of ink.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dualstylegan.faces.detect import onnx_session
from dualstylegan.io.images import luma
from dualstylegan.pretraining.painting.brushwork import (
    along,
    flat_tones,
    gaussian_blur,
    guided,
    kuwahara,
    lines,
    pixel_grid,
    tangents,
)

PAINTER_FILE = "painter_multistyle.onnx"
STYLES = 26
LEFT_EYE, RIGHT_EYE, LIPS, CHIN = slice(36, 42), slice(42, 48), slice(48, 60), 8
# A point of a cheek lies halfway between the midpoint of two landmarks and a third one.
CHEEKS = ((1, 31, 29), (15, 35, 29), (2, 31, 31), (14, 35, 35))
# Target luminance of the cheeks, strength of the correction, and limits of its gamma.
CHEEK_LIGHT, CHEEK_SHARE, MIN_GAMMA, MAX_GAMMA = 0.62, 0.6, 0.6, 1.12
SKIN_SPREAD = 0.22

Scale = tuple[str, ...]


@dataclass(frozen=True)
class Palette:
    """Colours from dark to bright, as hexadecimal RGB.

    Attributes:
        face: of skin and similar areas.
        ground: of everything else.
        own: share of the photo's own colour that is kept.
    """

    face: Scale
    ground: Scale
    own: float = 0.35


@dataclass(frozen=True)
class Brush:
    """Brush settings; lengths are shares of the image's side.

    Attributes:
        radius: size of flat patches.
        flow: length of strokes along edges.
        strokes: strength of the style network's strokes; 0: none.
        style: index of the network's style.
        tones: number of flat tones; 0: a continuous scale.
        ink: darkness of lines, 0 to 1.
    """

    radius: float
    flow: float
    strokes: float = 0.0
    style: int = 0
    tones: int = 0
    ink: float = 0.0


def coloured(light_1HW: Tensor, scale: Scale) -> Tensor:
    """Map luminance to colours (3, H, W) of a scale."""
    colours = torch.tensor([tuple(bytes.fromhex(colour)) for colour in scale]).div(255)
    position = light_1HW[0].clamp(0, 1) * (len(scale) - 1)
    index = position.floor().clamp(max=len(scale) - 2).long()
    part = (position - index)[..., None]
    part = (part + part.square() * (3 - 2 * part)) / 2
    return torch.lerp(colours[index], colours[index + 1], part).permute(2, 0, 1)


def at_cheeks(x_CHW: Tensor, landmarks_K2: Tensor) -> Tensor:
    """Compute the median (C,) of the values at four points on the cheeks."""
    limit = x_CHW.shape[-1] - 1
    points = [
        ((landmarks_K2[a] + landmarks_K2[b]) / 4 + landmarks_K2[c] / 2).round().clamp(0, limit)
        for a, b, c in CHEEKS
    ]
    return torch.stack([x_CHW[:, int(p[1]), int(p[0])] for p in points]).median(0).values


def well_lit(x_CHW: Tensor, landmarks_K2: Tensor) -> Tensor:
    """Stretch luminance to its full range and correct the exposure of the face."""
    low, high = torch.quantile(luma(x_CHW).flatten(), torch.tensor((0.02, 0.985)))
    x_CHW = ((x_CHW - low) / (high - low).clamp(min=1e-3)).clamp(0, 1)
    cheek = float(at_cheeks(luma(gaussian_blur(x_CHW, 4.0)), landmarks_K2).clamp(0.1, 0.9))
    gamma = 1 + CHEEK_SHARE * (math.log(CHEEK_LIGHT) / math.log(cheek) - 1)
    return x_CHW ** min(max(gamma, MIN_GAMMA), MAX_GAMMA)


def eye_mask(landmarks_K2: Tensor, size: int) -> Tensor:
    """Return a soft mask (1, H, W) of eyes and mouth, whose detail is kept."""
    x, y = pixel_grid(size, size)
    unit = float((landmarks_K2[RIGHT_EYE].mean(0) - landmarks_K2[LEFT_EYE].mean(0)).norm())
    mask = torch.zeros(size, size)
    for part, width, height, weight in (
        (LEFT_EYE, 0.24, 0.14, 1.0),
        (RIGHT_EYE, 0.24, 0.14, 1.0),
        (LIPS, 0.34, 0.16, 0.6),
    ):
        cx, cy = landmarks_K2[part].mean(0).tolist()
        shape = ((x - cx) / (width * unit)) ** 2 + ((y - cy) / (height * unit)) ** 2
        mask = torch.maximum(mask, weight * torch.exp(-shape / 2))
    return mask[None]


def skin_mask(x_CHW: Tensor, landmarks_K2: Tensor) -> Tensor:
    """Return a mask (1, H, W) of skin: close to the face, similar to the cheeks, up to edges."""
    size = x_CHW.shape[-1]
    eyes = (landmarks_K2[LEFT_EYE].mean(0) + landmarks_K2[RIGHT_EYE].mean(0)) / 2
    chin = landmarks_K2[CHIN]
    centre = eyes + 0.25 * (chin - eyes)
    height = 1.15 * float((chin - eyes).norm())
    width = 0.66 * float((landmarks_K2[16] - landmarks_K2[0]).norm())
    x, y = pixel_grid(size, size)
    far = (((x - centre[0]) / width).square() + ((y - centre[1]) / height).square()).sqrt()
    near, core = torch.sigmoid(9 * (1.1 - far)), torch.sigmoid(14 * (0.78 - far))
    soft = gaussian_blur(x_CHW, 2.0)
    light = luma(soft)
    chroma = (soft - light) / (light + 0.08)
    skin = at_cheeks(chroma, landmarks_K2).view(3, 1, 1)
    alike = torch.exp(-(((chroma - skin).norm(dim=0) / SKIN_SPREAD) ** 2))
    mask = gaussian_blur((near * torch.maximum(alike, core))[None], 2.0)
    return guided(mask, light, round(0.02 * size), 0.003)


class Painter:
    """Painter of portraits, with the style network that adds strokes.

    Args:
        weights_dir: folder of the network's file.
    """

    def __init__(self, weights_dir: Path | str) -> None:
        self.network: Any = onnx_session(Path(weights_dir) / PAINTER_FILE)

    def stylised(self, x_CHW: Tensor, style: int) -> Tensor:
        """Run the network in one of its styles; sides must be multiples of 4."""
        weights = np.zeros(STYLES, np.float32)
        weights[style] = 1
        feed = {"image": x_CHW[None].numpy(), "style_weights": weights}
        return torch.from_numpy(self.network.run(None, feed)[0][0]).clamp(0, 1)

    def painted_light(
        self, lit_CHW: Tensor, flow_CHW: Tensor, detail_1HW: Tensor, brush: Brush
    ) -> Tensor:
        """Compute the painting's luminance (1, H, W): shapes, strokes and tones, crisp eyes."""
        size = lit_CHW.shape[-1]
        light = luma(flow_CHW)
        light = 1.3 * light - 0.3 * gaussian_blur(light, size / 50)
        if brush.strokes:
            own = luma(self.stylised(flow_CHW, brush.style))
            own = own - gaussian_blur(own, size / 40)
            light = light + brush.strokes * own * (1 - 0.85 * detail_1HW)
        if brush.tones:
            light = 0.75 * flat_tones(light.clamp(0, 1), brush.tones) + 0.25 * light
        photo = luma(lit_CHW)
        crisp = 1.6 * photo - 0.6 * gaussian_blur(photo, size / 90)
        return torch.lerp(light, crisp, detail_1HW).clamp(0, 1)

    def paint(
        self, image_CHW: Tensor, landmarks_K2: Tensor, palette: Palette, brush: Brush
    ) -> Tensor:
        """Paint a portrait.

        Args:
            image_CHW: square photo in [0, 1].
            landmarks_K2: its 68 landmarks in pixels.
            palette: colours of face and ground.
            brush: strokes, tones and ink.
        """
        size = image_CHW.shape[-1]
        lit = well_lit(image_CHW, landmarks_K2)
        flat = kuwahara(lit, max(2, round(brush.radius * size)))
        direction = tangents(flat, size / 110)
        flow = along(flat, direction, brush.flow * size)
        detail = eye_mask(landmarks_K2, size)
        light = self.painted_light(lit, flow, detail, brush)
        skin = skin_mask(lit, landmarks_K2)
        colour = torch.lerp(coloured(light, palette.ground), coloured(light, palette.face), skin)
        chroma = torch.lerp(flow - luma(flow), 1.2 * (lit - luma(lit)), detail)
        result = colour + palette.own * (0.35 + 0.65 * skin) * chroma
        if brush.ink:
            ink = brush.ink * lines(lit, direction)
            darkest = 0.6 * coloured(torch.zeros(1, 1, 1), palette.face)
            result = torch.lerp(result, darkest.expand_as(result), ink)
        return result.clamp(0, 1)
