"""Degradations by the camera and its files: lens, tone, sensor, size and compression.

Legend of shape suffixes: C channel, H height, W width, N block, 8 row or column of a block. Images
are FFHQ crops in [0, 1]; each degradation is a function of such an image, its parameters drawn
beforehand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from dualstylegan.io.images import LUMA, luma
from dualstylegan.pretraining.photograph.fields import (
    convolve,
    coordinates,
    draw_seed,
    gaussian_blur,
    happens,
    log_uniform,
    resize,
    size_of,
    uniform,
)

# Framing: shift as a share of half the image, rotation in radians, relative scale (two alignments
# of one face differ so much), and radial distortion (near faces bulge).
SHIFT = (-0.015, 0.015)
TURN_RADIANS = (-0.02, 0.02)
ZOOM = (0.95, 1.05)
DISTORTION = (-0.05, 0.08)
# Blurs as shares of the image's width; light lost in the corners.
DEFOCUS = (0.002, 0.011)
MOTION = (0.012, 0.035)
VIGNETTE = (0.08, 0.4)
# Tone: exponent of display values, strength of the S-curve, saturation, lifted black.
GAMMA = (0.8, 1.3)
CURVE = (-0.25, 0.45)
SATURATION = (0.55, 1.2)
BLACK = (0.0, 0.07)
SEPIA_SHARE = 0.3
SEPIA = (0.02, 0.1)
# Sensor: standard deviation at full light and in the dark, and the share that is grey.
SHOT_NOISE = (0.004, 0.03)
READ_NOISE = (0.001, 0.012)
GRAY_NOISE = 0.7
# Size: the face's side in the file is smaller than the crop by a factor.
SHRINK = (1.2, 4.0)
MIN_PX = 16
QUALITY = (35, 95)
# At a smaller size a block covers more of the face.
SMALL_QUALITY = (65, 95)

# Scales of the chroma of JPEG (ITU-R BT.601).
CHROMA = (1.772, 1.402)
# Quantisation tables of the JPEG standard (ITU-T T.81, Annex K), for a quality of 50.
LUMA_TABLE = (
    *(16, 11, 10, 16, 24, 40, 51, 61),
    *(12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56),
    *(14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77),
    *(24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101),
    *(72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMA_TABLE = (
    *(17, 18, 24, 47, 99, 99, 99, 99),
    *(18, 21, 26, 66, 99, 99, 99, 99),
    *(24, 26, 56, 99, 99, 99, 99, 99),
    *(47, 66, 99, 99, 99, 99, 99, 99),
    *(99,) * 32,
)
BLOCK = 8


@dataclass(frozen=True)
class Framing:
    """Shift, rotation, scale and radial distortion: another alignment, another distance.

    Attributes:
        shift: right and down, as shares of half the image.
        turn: in radians.
        zoom: share of the image that is seen.
        distortion: radial; the centre is magnified if it is positive.
    """

    shift: tuple[float, float]
    turn: float
    zoom: float
    distortion: float

    @classmethod
    def draw(cls, rng: torch.Generator) -> Framing:
        return cls(
            (uniform(SHIFT, rng), uniform(SHIFT, rng)),
            uniform(TURN_RADIANS, rng),
            uniform(ZOOM, rng),
            uniform(DISTORTION, rng),
        )

    def __call__(self, x_CHW: Tensor) -> Tensor:
        u, v = coordinates(size_of(x_CHW), x_CHW.device)
        x, y = 2 * u - 1, 2 * v - 1
        # The scale stays as it is at the distance of eyes and mouth, by which faces are aligned.
        bend = self.zoom * (1 + self.distortion * (x.square() + y.square() - 0.25))
        cos, sin = math.cos(self.turn), math.sin(self.turn)
        across = bend * (cos * x - sin * y) + self.shift[0]
        down = bend * (sin * x + cos * y) + self.shift[1]
        grid = torch.stack((across, down), -1)[None]
        moved = F.grid_sample(x_CHW[None], grid, padding_mode="reflection", align_corners=False)
        return moved[0]


@dataclass(frozen=True)
class Defocus:
    """Gaussian blur; `sigma` is a share of the image's width."""

    sigma: float

    @classmethod
    def draw(cls, rng: torch.Generator) -> Defocus:
        return cls(uniform(DEFOCUS, rng))

    def __call__(self, x_CHW: Tensor) -> Tensor:
        return gaussian_blur(x_CHW, self.sigma * x_CHW.shape[-1])


@dataclass(frozen=True)
class Motion:
    """Blur along a line; `length` is a share of the image's width, `direction` in radians."""

    length: float
    direction: float

    @classmethod
    def draw(cls, rng: torch.Generator) -> Motion:
        return cls(uniform(MOTION, rng), uniform((0.0, math.pi), rng))

    def __call__(self, x_CHW: Tensor) -> Tensor:
        half = 0.5 * self.length * x_CHW.shape[-1]
        reach = max(1, math.ceil(half))
        offsets = torch.arange(-reach, reach + 1.0, device=x_CHW.device)
        x, y = offsets[None], offsets[:, None]
        cos, sin = math.cos(self.direction), math.sin(self.direction)
        along, across = (cos * x + sin * y).abs(), (cos * y - sin * x).abs()
        kernel = (half + 0.5 - along).clamp(0, 1) * (1 - across).clamp(0, 1)
        return convolve(x_CHW, kernel / kernel.sum())


@dataclass(frozen=True)
class Vignette:
    """Darker corners; `loss` is the share of the light lost there, in display values."""

    loss: float

    @classmethod
    def draw(cls, rng: torch.Generator) -> Vignette:
        return cls(uniform(VIGNETTE, rng))

    def __call__(self, x_CHW: Tensor) -> Tensor:
        u, v = coordinates(size_of(x_CHW), x_CHW.device)
        radius_squared = 2 * ((u - 0.5).square() + (v - 0.5).square())
        return x_CHW * (1 - self.loss * radius_squared.square())


@dataclass(frozen=True)
class Tone:
    """Tone curve and saturation, as cameras and people set them.

    Attributes:
        gamma: exponent of display values.
        curve: strength of an S-curve; negative flattens.
        saturation: 1 leaves colours as they are.
        black: value of black.
    """

    gamma: float
    curve: float
    saturation: float
    black: float

    @classmethod
    def draw(cls, rng: torch.Generator) -> Tone:
        return cls(
            uniform(GAMMA, rng), uniform(CURVE, rng), uniform(SATURATION, rng), uniform(BLACK, rng)
        )

    def __call__(self, x_CHW: Tensor) -> Tensor:
        x = x_CHW.clamp(0, 1).pow(self.gamma)
        x = torch.lerp(x, x * x * (3 - 2 * x), self.curve)
        x = torch.lerp(luma(x), x, self.saturation)
        return (self.black + (1 - self.black) * x).clamp(0, 1)


@dataclass(frozen=True)
class Monochrome:
    """Grey image; `sepia` is the relative gain of red and loss of blue."""

    sepia: float

    @classmethod
    def draw(cls, rng: torch.Generator) -> Monochrome:
        return cls(uniform(SEPIA, rng) if happens(SEPIA_SHARE, rng) else 0.0)

    def __call__(self, x_CHW: Tensor) -> Tensor:
        toned = x_CHW.new_tensor((1 + self.sepia, 1.0, 1 - self.sepia))[:, None, None]
        return (luma(x_CHW) * toned).clamp(0, 1)


@dataclass(frozen=True)
class Noise:
    """Sensor noise, the stronger the brighter a pixel: variance shot² x + read².

    Attributes:
        shot: standard deviation at full light.
        read: standard deviation in the dark.
        seed: of the noise.
    """

    shot: float
    read: float
    seed: int

    @classmethod
    def draw(cls, rng: torch.Generator) -> Noise:
        return cls(uniform(SHOT_NOISE, rng), uniform(READ_NOISE, rng), draw_seed(rng))

    def __call__(self, x_CHW: Tensor) -> Tensor:
        rng = torch.Generator().manual_seed(self.seed)
        unit = torch.randn(4, *size_of(x_CHW), generator=rng).to(x_CHW.device)
        unit = GRAY_NOISE * unit[3:] + math.sqrt(1 - GRAY_NOISE**2) * unit[:3]
        std = (self.shot**2 * x_CHW + self.read**2).sqrt()
        return (x_CHW + std * unit).clamp(0, 1)


@dataclass(frozen=True)
class Shrink:
    """Fewer pixels in the file than in the crop, by `factor`; noise and compression at that size.

    Attributes:
        factor: of the sides.
        inner: degradations of the small image.
    """

    factor: float
    inner: tuple[Noise | Compression, ...] = ()

    @classmethod
    def draw(cls, rng: torch.Generator) -> Shrink:
        return cls(log_uniform(SHRINK, rng))

    def __call__(self, x_CHW: Tensor) -> Tensor:
        size = size_of(x_CHW)
        height, width = (max(MIN_PX, round(side / self.factor)) for side in size)
        small = resize(x_CHW, (height, width))
        for degradation in self.inner:
            small = degradation(small)
        return F.interpolate(small[None], size, mode="bicubic")[0].clamp(0, 1)


@dataclass(frozen=True)
class Compression:
    """Quantised DCT coefficients of 8 x 8 blocks, chroma at half the size, as JPEG has them.

    Attributes:
        quality: 1 to 100, on the usual scale of JPEG encoders.
    """

    quality: int

    @classmethod
    def draw(cls, rng: torch.Generator, quality: tuple[int, int] = QUALITY) -> Compression:
        low, high = quality
        return cls(int(torch.randint(low, high + 1, (), generator=rng)))

    def __call__(self, x_CHW: Tensor) -> Tensor:
        height, width = size_of(x_CHW)
        tall, wide = -height % (2 * BLOCK), -width % (2 * BLOCK)
        padded = F.pad(x_CHW[None], (0, wide, 0, tall), mode="replicate")[0]
        scale_b, scale_r = CHROMA
        y = luma(padded)
        chroma = torch.cat(((padded[2:] - y) / scale_b, (padded[:1] - y) / scale_r))
        chroma = F.avg_pool2d(chroma, 2)
        y = quantise_blocks(y - 0.5, LUMA_TABLE, self.quality) + 0.5
        chroma = quantise_blocks(chroma, CHROMA_TABLE, self.quality)
        blue, red = F.interpolate(chroma[None], size_of(y), mode="nearest")[0]
        r, b = y[0] + scale_r * red, y[0] + scale_b * blue
        g = (y[0] - LUMA[0] * r - LUMA[2] * b) / LUMA[1]
        return torch.stack((r, g, b))[:, :height, :width].clamp(0, 1)


def dct_matrix() -> Tensor:
    """Return the orthonormal DCT-II (8, 8): frequencies by positions."""
    k, n = torch.arange(BLOCK)[:, None], torch.arange(BLOCK)[None]
    matrix = torch.cos(math.pi / BLOCK * (n + 0.5) * k) * math.sqrt(2 / BLOCK)
    matrix[0] /= math.sqrt(2)
    return matrix


def quantisation_table(table: tuple[int, ...], quality: int) -> Tensor:
    """Scale a table (8, 8) to a quality as the Independent JPEG Group's encoder does."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    steps = [min(255, max(1, (step * percent + 50) // 100)) for step in table]
    return torch.tensor(steps, dtype=torch.float32).view(BLOCK, BLOCK)


def quantise_blocks(x_CHW: Tensor, table: tuple[int, ...], quality: int) -> Tensor:
    """Round the DCT coefficients of each 8 x 8 block; sides are multiples of 8."""
    channels, height, width = x_CHW.shape
    dct = dct_matrix().to(x_CHW.device)
    step = quantisation_table(table, quality).to(x_CHW.device) / 255
    blocks = x_CHW.view(channels, height // BLOCK, BLOCK, width // BLOCK, BLOCK).transpose(2, 3)
    coefficients = dct @ blocks @ dct.T
    blocks = dct.T @ ((coefficients / step).round() * step) @ dct
    return blocks.transpose(2, 3).reshape(channels, height, width)
