"""Thin-plate spline warps of images that move landmarks (Bookstein, 1989).

Legend of shape suffixes: N image, K landmark, B border point, C channel, H height, W width,
P pixel, 2 x and y as shares of the image's side.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Points of the border that stay in place, per side of the image.
BORDER_POINTS = 4
# Stiffness: landmarks are met to within it, and noise in them does not fold the image.
STIFFNESS = 2e-3
EPS = 1e-9


def radial_basis(first_N2: Tensor, second_M2: Tensor) -> Tensor:
    """Compute r^2 log r^2 of the distances r between points. Shape (N, M)."""
    squared = torch.cdist(first_N2, second_M2).square()
    return squared * torch.log(squared + EPS)


def spline(points_N2: Tensor, values_N2: Tensor, wanted_P2: Tensor) -> Tensor:
    """Interpolate vectors by a thin-plate spline: smooth, affine far from the points.

    Args:
        points_N2, values_N2: points and their vectors.
        wanted_P2: points at which the spline is evaluated.

    Returns:
        Vectors (P, 2).
    """
    count = len(points_N2)
    affine = torch.cat((torch.ones_like(points_N2[:, :1]), points_N2), 1)
    bent = radial_basis(points_N2, points_N2) + STIFFNESS * torch.eye(count)
    system = torch.cat((torch.cat((bent, affine), 1), torch.cat((affine.T, torch.zeros(3, 3)), 1)))
    weights = torch.linalg.solve(system, torch.cat((values_N2, torch.zeros(3, 2))))
    line = torch.cat((torch.ones_like(wanted_P2[:, :1]), wanted_P2), 1)
    values_P2: Tensor = (
        radial_basis(wanted_P2, points_N2) @ weights[:count] + line @ weights[count:]
    )
    return values_P2


def border(count: int = BORDER_POINTS) -> Tensor:
    """Return evenly spaced points (B, 2) on the image's border, corners included."""
    line = torch.arange(count + 1) / count
    y, x = torch.meshgrid(line, line, indexing="ij")
    points = torch.stack((x, y), -1).view(-1, 2)
    return points[((points == 0) | (points == 1)).any(1)]


def sampling_grid(points_K2: Tensor, shift_K2: Tensor, size: int) -> Tensor:
    """Return the grid (size, size, 2) in [-1, 1] at which a warp samples the image.

    Args:
        points_K2: landmarks.
        shift_K2: by which each moves; the border stays.
        size: side of the warped image in pixels.
    """
    line = (torch.arange(size) + 0.5) / size
    y, x = torch.meshgrid(line, line, indexing="ij")
    pixels = torch.stack((x, y), -1).view(-1, 2)
    edge = border()
    moved = torch.cat((points_K2 + shift_K2, edge))
    back = torch.cat((-shift_K2, torch.zeros_like(edge)))
    return (2 * (pixels + spline(moved, back, pixels)) - 1).view(size, size, 2)


def warp(image_NCHW: Tensor, points_NK2: Tensor, shift_NK2: Tensor) -> Tensor:
    """Warp square images in [-1, 1] so that their landmarks move by a shift.

    Args:
        image_NCHW: the images.
        points_NK2, shift_NK2: landmarks and shifts, on the CPU.
    """
    size = image_NCHW.shape[-1]
    grids = [sampling_grid(p, s, size) for p, s in zip(points_NK2, shift_NK2, strict=True)]
    grid_NHW2 = torch.stack(grids).to(image_NCHW.device)
    warped = F.grid_sample(
        image_NCHW, grid_NHW2, mode="bicubic", padding_mode="border", align_corners=False
    )
    return warped.clamp(-1, 1)
