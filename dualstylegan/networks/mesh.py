"""Suppression of the mesh that upsampling by interleaved pixels leaves in an image.

Legend of shape suffixes: N image, C channel, P phase, H, W.

An inverse wavelet transform makes the pixels of a block of 2 x 2 from separate channels. Where
these differ in their mean, every block shows the same small pattern: lines in the spectrum at
multiples of half a cycle per pixel, and of a quarter and an eighth from the blocks before. A comb
of narrow notch filters at these frequencies removes it and leaves the spectrum between them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

# Standard deviation in pixels of the window in which a pattern is estimated: notches of 0.013
# cycles per pixel. The window reaches so many of them.
WINDOW_PX = 12
REACH = 2.7
# Contrast, as a fraction of the range of [-1, 1], beyond which a block tells less of the pattern:
# three grey levels, so that the detail of hair and eyes is not taken for it.
CONTRAST = 3 / 127.5


def suppress_mesh(image_NCHW: Tensor, period: int) -> Tensor:
    """Remove the local mean pattern of blocks of `period` x `period` pixels.

    The pattern is the mean over neighbouring blocks, pixel by pixel (phase by phase), of the
    difference from the blurred image; smooth blocks have the larger weights.

    Args:
        image_NCHW: images in [-1, 1].
        period: side of a block in pixels, even; it divides H and W.
    """
    half = period // 2
    padded = F.pad(image_NCHW, (half,) * 4, mode="reflect")
    # a mean over a period has no part of the pattern; the second one centres it on the pixel
    smooth = box_mean(box_mean(padded, period), 2)
    phase_NCHW = F.pixel_unshuffle(image_NCHW - smooth, period)
    weight_NCHW = (CONTRAST**2 + phase_NCHW.square().mean(1, keepdim=True)).reciprocal()
    sigma = WINDOW_PX / period
    mean_NCHW = _blur(phase_NCHW * weight_NCHW, sigma) / _blur(weight_NCHW, sigma)
    n, _, height, width = mean_NCHW.shape
    mean_NCPHW = mean_NCHW.view(n, image_NCHW.shape[1], period**2, height, width)
    pattern_NCPHW = mean_NCPHW - mean_NCPHW.mean(2, keepdim=True)
    return image_NCHW - F.pixel_shuffle(pattern_NCPHW.flatten(1, 2), period)


def box_mean(x_NCHW: Tensor, side: int) -> Tensor:
    """Compute the mean of every window of `side` x `side` pixels.

    Windows are sums of windows of half the width: a few additions in place of side^2, which
    `avg_pool2d` takes, a quarter of the time of a whole image of full size.
    """
    rows = _window_sum(x_NCHW, side, 2)
    return _window_sum(rows, side, 3) / side**2


def _window_sum(x: Tensor, side: int, dim: int) -> Tensor:
    """Sum every window of `side` neighbours along a dimension."""
    length = x.shape[dim] - side + 1
    parts, start, width = [], 0, 1
    while width <= side:
        if side & width:
            parts.append(x.narrow(dim, start, length))
            start += width
        reach = x.shape[dim] - width
        if 2 * width <= side:
            x = x.narrow(dim, 0, reach) + x.narrow(dim, width, reach)
        width *= 2
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _blur(x_NCHW: Tensor, sigma: float) -> Tensor:
    """Blur each channel by a Gaussian window; edges are repeated."""
    radius = math.ceil(REACH * sigma - 0.5)
    position = torch.arange(-radius, radius + 1, device=x_NCHW.device)
    window = torch.exp(-0.5 * (position / sigma).square())
    channels = x_NCHW.shape[1]
    kernel = (window / window.sum()).to(x_NCHW.dtype).expand(channels, 1, 1, -1)
    padded = F.pad(x_NCHW, (radius,) * 4, mode="replicate")
    across = F.conv2d(padded, kernel, groups=channels)
    return F.conv2d(across, kernel.transpose(2, 3), groups=channels)
