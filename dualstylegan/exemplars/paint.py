"""Painting a portrait: colours of a palette, strokes of a brush, eyes and lines kept crisp.

Legend of shape suffixes: N image, C channel, H height, W width.

Pictures are (3, H, W) in [0, 1] here. The palette is one of a network's 26 styles, which gives its
colours; the brush says how much of the photo's light, of the strokes and of ink lines goes in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dualstylegan.faces.detect import session

PAINTER_FILE = "painter_multistyle.onnx"
STYLES = 26
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Palette:
    """Colours: weights of the network's styles by number, and what is done to their strength."""

    styles: tuple[tuple[int, float], ...]
    saturation: float = 1.0
    contrast: float = 1.0


@dataclass(frozen=True)
class Brush:
    """How paint is put on.

    Attributes:
        smooth: radius of the edge-preserving smoothing, as a share of the picture.
        rounds: how often it is applied.
        strokes: share of the network's own light, which carries its strokes, against the photo's.
        tones: number of flat tones, 0 for a continuous scale.
        ink: darkness of the lines, 0 to 1.
    """

    smooth: float
    rounds: int
    strokes: float
    tones: int = 0
    ink: float = 0.0


def luma(x_CHW: Tensor) -> Tensor:
    """Light (1, H, W)."""
    return (x_CHW * x_CHW.new_tensor(LUMA).view(3, 1, 1)).sum(0, keepdim=True)


def box_blur(x_CHW: Tensor, radius: int) -> Tensor:
    """Mean over squares, the picture reflected at its border."""
    padded = F.pad(x_CHW[None], (radius,) * 4, mode="reflect")
    return F.avg_pool2d(padded, 2 * radius + 1, 1)[0]


def gaussian_blur(x_CHW: Tensor, sigma: float) -> Tensor:
    """Separable Gaussian blur, the picture reflected at its border."""
    radius = max(1, round(3 * sigma))
    taps = torch.exp(-((torch.arange(-radius, radius + 1).float() / sigma) ** 2) / 2)
    taps = (taps / taps.sum()).to(x_CHW)
    x = F.pad(x_CHW[:, None], (radius,) * 4, mode="reflect")
    x = F.conv2d(x, taps.view(1, 1, 1, -1))
    return F.conv2d(x, taps.view(1, 1, -1, 1))[:, 0]


def smoothed(x_CHW: Tensor, radius: int, rounds: int, softness: float = 0.004) -> Tensor:
    """Edge-preserving smoothing: the guided filter (He et al., 2010), guided by the light."""
    for _ in range(rounds):
        guide = luma(x_CHW)
        mean_guide, mean = box_blur(guide, radius), box_blur(x_CHW, radius)
        covariance = box_blur(guide * x_CHW, radius) - mean_guide * mean
        variance = box_blur(guide * guide, radius) - mean_guide.square()
        slope = covariance / (variance + softness)
        offset = mean - slope * mean_guide
        x_CHW = (box_blur(slope, radius) * guide + box_blur(offset, radius)).clamp(0, 1)
    return x_CHW


def lines(x_CHW: Tensor, sigma: float) -> Tensor:
    """Ink (1, H, W), 1 where a line is: thresholded differences of Gaussians (XDoG, 2012)."""
    light = luma(x_CHW)
    difference = gaussian_blur(light, sigma) - 0.985 * gaussian_blur(light, 1.6 * sigma)
    ink: Tensor = torch.tanh((0.004 - difference).clamp(min=0) * 60)
    return ink


def flat_tones(light_1HW: Tensor, tones: int) -> Tensor:
    """Light in `tones` steps with soft edges."""
    scaled = light_1HW * tones
    step = scaled.floor()
    rest: Tensor = ((scaled - step - 0.5) * 6).tanh() / (2 * math.tanh(3.0)) + 0.5
    return (step + rest) / tones


def eye_mask(landmarks_K2: Tensor, size: int) -> Tensor:
    """A soft mask (1, H, W) over eyes and mouth, whose detail a portrait lives by."""
    line = torch.arange(size).float()
    y, x = torch.meshgrid(line, line, indexing="ij")
    unit = float((landmarks_K2[42:48].mean(0) - landmarks_K2[36:42].mean(0)).norm())
    mask = torch.zeros(size, size)
    for part, width, height, weight in (
        (slice(36, 42), 0.24, 0.14, 1.0),
        (slice(42, 48), 0.24, 0.14, 1.0),
        (slice(48, 60), 0.34, 0.16, 0.6),
    ):
        cx, cy = landmarks_K2[part].mean(0).tolist()
        shape = ((x - cx) / (width * unit)) ** 2 + ((y - cy) / (height * unit)) ** 2
        mask = torch.maximum(mask, weight * torch.exp(-shape / 2))
    return mask[None]


class Painter:
    """The multi-style network and what is done around it.

    Args:
        weights_dir: where the network lies.
    """

    def __init__(self, weights_dir: Path | str) -> None:
        self.network: Any = session(Path(weights_dir) / PAINTER_FILE)

    def stylised(self, x_CHW: Tensor, palette: Palette) -> Tensor:
        """The network's picture; sides must be multiples of 4."""
        weights = np.zeros(STYLES, np.float32)
        for style, weight in palette.styles:
            weights[style] = weight
        feed = {"image": x_CHW[None].numpy(), "style_weights": weights / weights.sum()}
        return torch.from_numpy(self.network.run(None, feed)[0][0]).clamp(0, 1)

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
        flat = smoothed(image_CHW, max(1, round(brush.smooth * size)), brush.rounds)
        painted = self.stylised(flat, palette)
        colour = smoothed(painted, max(1, round(0.012 * size)), 1)
        light = luma(flat)
        if brush.tones:
            light = flat_tones(light, brush.tones)
        own, photo = luma(painted), _matched(light, luma(painted))
        light = brush.strokes * own + (1 - brush.strokes) * photo
        # Eyes and mouth: the photo's own detail on top of the paint.
        detail = luma(image_CHW) - gaussian_blur(luma(image_CHW), size / 60)
        light = light + 0.9 * eye_mask(landmarks_K2, size) * detail
        light = (light - 0.5) * palette.contrast + 0.5
        chroma = (colour - luma(colour)) * palette.saturation
        result = (light + chroma).clamp(0, 1)
        if brush.ink:
            ink = brush.ink * lines(flat, size / 340)
            dark = 0.25 * chroma + 0.08
            result = result * (1 - ink) + dark * ink
        return result.clamp(0, 1)


def _matched(light_1HW: Tensor, target_1HW: Tensor) -> Tensor:
    """Light with the mean and the spread of another's."""
    spread = target_1HW.std() / light_1HW.std().clamp(min=1e-4)
    return (light_1HW - light_1HW.mean()) * spread + target_1HW.mean()
