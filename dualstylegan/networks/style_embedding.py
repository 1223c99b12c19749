"""Style embedding of images, and content features for the kernel distance.

The style embedding is not used in training: losses compare feature maps by position (LPIPS), by
patches (contextual loss) and by their means (feature matching), the embedding compares statistics
of features and colours:

* `texture`: logarithm of each channel's standard deviation over the image, for four depths of
  VGG16; equivalent to the diagonal of the centred Gram matrix.
* `color`: mean, standard deviation and correlation of the CIE Lab channels, and the quantiles
  of each: the palette.

Legend of shape suffixes: N, M image, C channel, P pixel, H, W, F feature, K embedding width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dualstylegan.networks.masks import Mask, inside

Array = NDArray[np.float64]

TEXTURE_DEPTHS = 4
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_LOG_FLOOR = 1e-4
# linear sRGB (IEC 61966-2-1, D65) to XYZ, each row divided by the white point
_XYZ = (
    (0.4124564 / 0.95047, 0.3575761 / 0.95047, 0.1804375 / 0.95047),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339 / 1.08883, 0.1191920 / 1.08883, 0.9503041 / 1.08883),
)


def to_lab(x_NCHW: Tensor) -> Tensor:
    """Convert RGB (N, 3, H, W) in [-1, 1] to CIE Lab: L 0 to 100, a and b about -100 to 100."""
    srgb = (x_NCHW.float() * 0.5 + 0.5).clamp(0, 1)
    linear = torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    xyz = torch.einsum("dc,nchw->ndhw", linear.new_tensor(_XYZ), linear)
    cut = (6 / 29) ** 3
    f = torch.where(xyz > cut, xyz.clamp_min(cut) ** (1 / 3), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = f.unbind(1)
    return torch.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), 1)


def color_statistics(x_NCHW: Tensor) -> Tensor:
    """Compute moments, correlations and quantiles of the Lab channels, (N, 24)."""
    lab_NCP = to_lab(x_NCHW).flatten(2)
    mean, spread = lab_NCP.mean(2), lab_NCP.std(2, correction=0)
    unit = (lab_NCP - mean[..., None]) / (spread[..., None] + 1e-3)
    pairs = torch.stack([(unit[:, i] * unit[:, j]).mean(1) for i, j in ((0, 1), (0, 2), (1, 2))], 1)
    levels = lab_NCP.new_tensor(QUANTILES)
    quantiles = torch.quantile(lab_NCP, levels, dim=2).permute(1, 2, 0).flatten(1)
    # correlations lie in [-1, 1]; x 10 puts them on the scale of the Lab moments
    return torch.cat((mean, spread, 10 * pairs, quantiles), 1)


def texture_statistics(features: Sequence[Tensor]) -> list[Tensor]:
    """Compute the log standard deviation of each channel, one tensor (N, C) per depth."""
    return [
        torch.log(f_NCHW.float().flatten(2).std(2, correction=0) + _LOG_FLOOR)
        for f_NCHW in features[:TEXTURE_DEPTHS]
    ]


@dataclass(frozen=True)
class Description:
    """Descriptors of N images for the measures.

    Attributes:
        pooled_NF: globally averaged deepest features, for the kernel distance.
        style: groups of the style embedding, (N, K) each.
    """

    pooled_NF: Array
    style: tuple[Array, ...]

    def __len__(self) -> int:
        return len(self.pooled_NF)


def describe(features: Sequence[Tensor], x_NCHW: Tensor, mask_N1HW: Mask = None) -> Description:
    """Describe images in [-1, 1] by their VGG16 feature maps, shallow to deep, and colours.

    Args:
        features: feature maps (N, C, H, W).
        x_NCHW: the images.
        mask_N1HW: of what lies inside of the images' pictures, in any size: all statistics are
            those of it alone.
    """
    if mask_N1HW is not None:
        rows = [slice(i, i + 1) for i in range(len(x_NCHW))]
        return join(
            [
                describe(
                    [inside(f_NCHW[row], mask_N1HW[row]) for f_NCHW in features],
                    inside(x_NCHW[row], mask_N1HW[row]),
                )
                for row in rows
            ]
        )
    groups = [*texture_statistics(features), color_statistics(x_NCHW)]
    pooled = features[-1].float().mean((2, 3))
    return Description(_array(pooled), tuple(_array(group) for group in groups))


def join(parts: Sequence[Description]) -> Description:
    """Concatenate descriptions, in order."""
    pooled = np.concatenate([part.pooled_NF for part in parts])
    groups = zip(*(part.style for part in parts), strict=True)
    return Description(pooled, tuple(np.concatenate(group) for group in groups))


def style_distances(images: Description, exemplars: Description) -> Array:
    """Compute the style distance of every image to every exemplar, (N, M).

    Squared distances of each group are divided by their mean between two exemplars, which gives all
    groups equal weight; the mean over groups is then about 1 for two exemplars. Groups in which
    the exemplars do not differ are left out.
    """
    total = np.zeros((len(images), len(exemplars)))
    used = 0
    for image, exemplar in zip(images.style, exemplars.style, strict=True):
        among = squared_distances(exemplar, exemplar)
        count = max(len(exemplar) * (len(exemplar) - 1), 1)
        scale = among.sum() / count
        if scale > 1e-12:
            total += squared_distances(image, exemplar) / scale
            used += 1
    distances: Array = np.sqrt(total / max(used, 1))
    return distances


def squared_distances(x_NK: Array, y_MK: Array) -> Array:
    """Compute the squared Euclidean distances of all rows of x to all rows of y, (N, M)."""
    apart = (x_NK**2).sum(1)[:, None] + (y_MK**2).sum(1)[None] - 2 * x_NK @ y_MK.T
    clipped: Array = np.maximum(apart, 0.0)
    return clipped


def _array(x: Tensor) -> Array:
    return x.detach().cpu().numpy().astype(np.float64)
