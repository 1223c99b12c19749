"""Painting a portrait: two scales of colour, strokes of a brush, eyes and lines kept crisp.

Legend of shape suffixes: K landmark, C channel, H height, W width; 1HW one channel.

Pictures are (3, H, W) in [0, 1] here. A palette colours light: one scale from dark to bright for
the face and another for what is around it. A brush says how flat the forms are, how far strokes run
along them, how much of a style network's strokes go in, and how much ink.
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
from tasks.demo.brushwork import (
    along,
    flat_tones,
    gaussian_blur,
    guided,
    kuwahara,
    lines,
    luma,
    pixel_grid,
    tangents,
)

PAINTER_FILE = "painter_multistyle.onnx"
STYLES = 26
LEFT_EYE, RIGHT_EYE, LIPS, CHIN = slice(36, 42), slice(42, 48), slice(48, 60), 8
# A cheek lies halfway between the middle of two landmarks and a third.
CHEEKS = ((1, 31, 29), (15, 35, 29), (2, 31, 31), (14, 35, 35))
# Light that a cheek is brought to, how far, and the least and greatest exponents that do so.
CHEEK_LIGHT, CHEEK_SHARE, LEAST_GAMMA, MOST_GAMMA = 0.62, 0.6, 0.6, 1.12
SKIN_SPREAD = 0.22

Scale = tuple[str, ...]


@dataclass(frozen=True)
class Palette:
    """Colours from dark to bright, as hexadecimal RGB.

    Attributes:
        face: those of skin and all that is like it.
        ground: those of everything else.
        own: share of the photo's own colour that shines through.
    """

    face: Scale
    ground: Scale
    own: float = 0.35


@dataclass(frozen=True)
class Brush:
    """How paint is put on; lengths are shares of the picture's side.

    Attributes:
        radius: size of the flat patches.
        flow: how far colour is drawn along the forms.
        strokes: strength of the style network's strokes.
        style: number of that style.
        tones: number of flat tones, 0 for a continuous scale.
        ink: darkness of the lines, 0 to 1.
    """

    radius: float
    flow: float
    strokes: float = 0.0
    style: int = 0
    tones: int = 0
    ink: float = 0.0


def coloured(light_1HW: Tensor, scale: Scale) -> Tensor:
    """Light as colours (3, H, W) of a scale."""
    colours = torch.tensor([tuple(bytes.fromhex(colour)) for colour in scale]).div(255)
    place = light_1HW[0].clamp(0, 1) * (len(scale) - 1)
    index = place.floor().clamp(max=len(scale) - 2).long()
    part = (place - index)[..., None]
    part = (part + part.square() * (3 - 2 * part)) / 2
    return torch.lerp(colours[index], colours[index + 1], part).permute(2, 0, 1)


def at_cheeks(x_CHW: Tensor, landmarks_K2: Tensor) -> Tensor:
    """The middle one (C,) of the values at four places of the cheeks."""
    most = x_CHW.shape[-1] - 1
    places = [
        ((landmarks_K2[a] + landmarks_K2[b]) / 4 + landmarks_K2[c] / 2).round().clamp(0, most)
        for a, b, c in CHEEKS
    ]
    return torch.stack([x_CHW[:, int(p[1]), int(p[0])] for p in places]).median(0).values


def well_lit(x_CHW: Tensor, landmarks_K2: Tensor) -> Tensor:
    """The picture with the full range of light, and a face that is neither dark nor burnt out."""
    low, high = torch.quantile(luma(x_CHW).flatten(), torch.tensor((0.02, 0.985)))
    x_CHW = ((x_CHW - low) / (high - low).clamp(min=1e-3)).clamp(0, 1)
    cheek = float(at_cheeks(luma(gaussian_blur(x_CHW, 4.0)), landmarks_K2).clamp(0.1, 0.9))
    gamma = 1 + CHEEK_SHARE * (math.log(CHEEK_LIGHT) / math.log(cheek) - 1)
    return x_CHW ** min(max(gamma, LEAST_GAMMA), MOST_GAMMA)


def eye_mask(landmarks_K2: Tensor, size: int) -> Tensor:
    """A soft mask (1, H, W) over eyes and mouth, whose detail a portrait lives by."""
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
    """A mask (1, H, W) of the face: near it and of the cheeks' colour, up to the edges of light."""
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
    """The network whose strokes are used and what is done around it.

    Args:
        weights_dir: where the network lies.
    """

    def __init__(self, weights_dir: Path | str) -> None:
        self.network: Any = onnx_session(Path(weights_dir) / PAINTER_FILE)

    def stylised(self, x_CHW: Tensor, style: int) -> Tensor:
        """The network's picture in one of its styles; sides must be multiples of 4."""
        weights = np.zeros(STYLES, np.float32)
        weights[style] = 1
        feed = {"image": x_CHW[None].numpy(), "style_weights": weights}
        return torch.from_numpy(self.network.run(None, feed)[0][0]).clamp(0, 1)

    def painted_light(
        self, lit_CHW: Tensor, flow_CHW: Tensor, detail_1HW: Tensor, brush: Brush
    ) -> Tensor:
        """Light of the painting (1, H, W): forms, strokes and tones, eyes as they are."""
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
            palette, brush: what with.
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
