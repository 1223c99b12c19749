"""Attributes of a face that make the person, measured from landmarks and lightness.

Legend of shape suffixes: N image, C channel, A attribute, K landmark, 2 x and y in pixels, H, W.

Identity networks sum a face up in one figure. An attribute tells what of the person a result keeps:
beard, smile, age, hair, skin. Each is a statistic of the regions that landmarks give, of lightness
alone, since a style repaints colours and keeps light and dark. Attributes have a unit and a zero of
their own in every style, so that only their order and distances among faces of one style count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dualstylegan.evaluation.face_regions import FaceAxes, face_axes, regions
from dualstylegan.faces.shape import Array
from dualstylegan.io.images import dequantize
from dualstylegan.networks.masks import Mask, mask_of
from dualstylegan.networks.style_embedding import to_lab

# Side of the images that are measured: 48 px between the eyes of an FFHQ crop.
WORK_PX = 192
# Share of a region that must lie inside of the picture.
MIN_INSIDE = 0.5
# Sides in pixels of the windows of fine texture and of a strand's direction.
FINE_PX, STRAND_PX = 3, 9
# Texture below this, in L*, is that of rounding to bytes.
TEXTURE_FLOOR = 0.1
# L* by which a moustache is darker than cheeks where a beard has e times the texture of skin.
BEARD_TEXTURE = 30.0
# Widths of the mouth that count as much as a lift of its corners by one.
SMILE_LIFT = 2.0
EPS = 1e-3


@dataclass(frozen=True)
class Attribute:
    """Attribute of a face.

    Attributes:
        name: in the names of figures.
        label: for people.
        meaning: definition, as part of a sentence.
    """

    name: str
    label: str
    meaning: str


ATTRIBUTES = (
    Attribute(
        "facial_hair",
        "facial hair",
        "texture of moustache, chin and jaws and darkness of the moustache, against the cheeks",
    ),
    Attribute("smile", "smile", "width of the mouth and lift of its corners"),
    Attribute("age", "age", "fine texture of the skin of cheeks and beneath the eyes"),
    Attribute("hair_lightness", "lightness of the hair", "lightness of an arch over the forehead"),
    Attribute(
        "hair_texture",
        "texture of the hair",
        "parallelism of strands beside the temples: long and straight, against curled or cropped",
    ),
    Attribute("skin_tone", "skin tone", "lightness of the cheeks"),
)
NAMES = tuple(attribute.name for attribute in ATTRIBUTES)


def attribute_table(
    image_NCHW: Tensor, landmarks_NK2: Sequence[Array] | Array, mask_N1HW: Mask = None
) -> Array:
    """Measure the attributes of N faces, (N, A) in the order of ATTRIBUTES.

    Args:
        image_NCHW: uint8, aligned.
        landmarks_NK2: 68 landmarks of each in pixels; NaN without a plausible face.
        mask_N1HW: of what lies inside of the images' pictures; None: all.

    Returns:
        NaN for faces without landmarks, and for attributes whose region lies outside.
    """
    masks = [None] * len(image_NCHW) if mask_N1HW is None else torch.split(mask_N1HW, 1)
    rows = [measure_face(*face) for face in zip(image_NCHW, landmarks_NK2, masks, strict=True)]
    return np.array(rows, np.float64).reshape(-1, len(ATTRIBUTES))


def measure_face(image_CHW: Tensor, landmarks_K2: Array, mask_11HW: Mask = None) -> list[float]:
    """Measure the attributes of a face, in the order of ATTRIBUTES; see `attribute_table`."""
    if np.isnan(landmarks_K2).any():
        return [np.nan] * len(ATTRIBUTES)
    image_1CHW = dequantize(image_CHW[None].cpu())
    scale = WORK_PX / image_CHW.shape[-1]
    if scale != 1:
        size = (WORK_PX, WORK_PX)
        image_1CHW = F.interpolate(image_1CHW, size, mode="bilinear", antialias=True).clamp(-1, 1)
    face = face_axes(landmarks_K2 * scale)
    mask = None if mask_11HW is None else mask_of(mask_11HW.cpu(), image_1CHW)
    views = _Views(to_lab(image_1CHW)[:, :1], regions(face, WORK_PX), mask)
    found = {
        "facial_hair": facial_hair(views),
        "smile": smile(face),
        "age": views.log_texture("skin"),
        "hair_lightness": views.lightness("hair"),
        "hair_texture": views.parallelism("strands"),
        "skin_tone": views.lightness("cheeks"),
    }
    return [found[name] for name in NAMES]


class _Views:
    """Statistics of the lightness of an image's regions; NaN where a region lies outside.

    Args:
        lightness_11HW: L*, 0 to 100.
        regions: masks (H, W) by name.
        mask_11HW: of what lies inside of the picture; None: all.
    """

    def __init__(self, lightness_11HW: Tensor, regions: dict[str, Tensor], mask_11HW: Mask) -> None:
        self.lightness_11HW = lightness_11HW
        self.fine_11HW = (lightness_11HW - box_mean(lightness_11HW, FINE_PX)).abs()
        self.regions = regions
        self.mask_11HW = mask_11HW

    def _pixels(self, map_11HW: Tensor, region: str) -> Tensor:
        """Return the values (pixels,) of a map in the part of a region that lies inside."""
        region_HW = self.regions[region]
        inside_HW = region_HW if self.mask_11HW is None else region_HW & self.mask_11HW[0, 0]
        if inside_HW.sum() < max(1, MIN_INSIDE * int(region_HW.sum())):
            return torch.tensor([torch.nan])
        return map_11HW[0, 0][inside_HW]

    def lightness(self, region: str) -> float:
        """Return the median L* of a region."""
        return float(self._pixels(self.lightness_11HW, region).median())

    def log_texture(self, region: str) -> float:
        """Return the logarithm of a region's median difference of L* from its surroundings."""
        return float(self._pixels(self.fine_11HW, region).median().add(TEXTURE_FLOOR).log())

    def parallelism(self, region: str) -> float:
        """Return the mean coherence of the structure tensor: 1 for parallel lines, 0 for none."""
        return float(self._pixels(coherence(self.lightness_11HW), region).mean())


def facial_hair(views: _Views) -> float:
    """Return darkness of the moustache against cheeks, in L*, and weighted texture of the beard.

    Either alone misses people: shadows darken, and painters smooth. The texture is that against the
    skin around the eyes, so that creases of an old face are no beard.
    """
    darkness = views.lightness("cheeks") - views.lightness("moustache")
    return darkness + BEARD_TEXTURE * (views.log_texture("beard") - views.log_texture("skin"))


def smile(face: FaceAxes) -> float:
    """Return width of the mouth and weighted lift of its corners, in distances between the eyes."""
    left, right, upper, lower = (face.coordinates(k) for k in (48, 54, 51, 57))
    lift = (upper[1] + lower[1] - left[1] - right[1]) / 2
    return float(np.linalg.norm(right - left) + SMILE_LIFT * lift)


def box_mean(map_NCHW: Tensor, side: int) -> Tensor:
    """Average maps over windows of an odd side, repeating their edges."""
    pad = side // 2
    padded = F.pad(map_NCHW, (pad, pad, pad, pad), mode="replicate")
    return F.avg_pool2d(padded, side, 1)


def coherence(map_11HW: Tensor) -> Tensor:
    """Compute the coherence of a map's structure tensor (Bigun and Granlund, 1987), 0 to 1."""
    smooth = box_mean(map_11HW, FINE_PX)
    across = F.pad(smooth[..., 2:] - smooth[..., :-2], (1, 1))
    down = F.pad(smooth[..., 2:, :] - smooth[..., :-2, :], (0, 0, 1, 1))
    products = torch.cat((across.square(), down.square(), across * down), 1)
    xx, yy, xy = torch.split(box_mean(products, STRAND_PX), 1, 1)
    coherent: Tensor = ((xx - yy).square() + 4 * xy.square()).sqrt() / (xx + yy + EPS)
    return coherent
