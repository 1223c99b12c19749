"""Warps by landmarks: what moves, what stays."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dualstylegan.faces.warping import border, spline, warp
from tests.support.schematic_face import SIZE, face_points, ramps


def shares() -> torch.Tensor:
    return torch.from_numpy(face_points()).float() / SIZE


def test_without_shifts_an_image_stays_as_it_is() -> None:
    image = torch.rand(2, 3, 64, 64) * 2 - 1
    points = shares().expand(2, -1, -1)
    assert torch.allclose(warp(image, points, torch.zeros_like(points)), image, atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_pixels_move_with_their_landmarks(seed: int) -> None:
    """An image whose colours are its coordinates tells where each landmark's pixel came from."""
    coordinates = ramps()[None]
    points = shares()
    drawn = torch.randn(1, 2, generator=torch.Generator().manual_seed(seed))
    shift = 0.02 * drawn.clamp(-1.5, 1.5)
    shift = shift.expand_as(points).clone()
    shift[:17] = 0  # the chin stays
    moved = warp(coordinates, points[None], shift[None])[0]
    for point, by in zip(points[17:], shift[17:], strict=True):
        x, y = ((point + by) * SIZE).round().long().clamp(0, SIZE - 1).tolist()
        came_from = moved[:2, y, x].add(1).div(2)
        assert torch.allclose(came_from, point, atol=0.03)


def test_the_border_stays() -> None:
    image = ramps()[None]
    points = shares()[None]
    shift = 0.04 * torch.ones_like(points)
    moved = warp(image, points, shift)
    for corner in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        assert torch.allclose(
            moved[..., corner[0], corner[1]], image[..., corner[0], corner[1]], atol=0.3
        )
    assert len(border()) == 16


def test_the_spline_is_affine_where_the_shifts_are() -> None:
    points = torch.rand(20, 2, generator=torch.Generator().manual_seed(0))
    matrix, offset = torch.tensor([[0.1, 0.02], [-0.03, 0.2]]), torch.tensor([0.1, -0.2])
    wanted = torch.rand(50, 2, generator=torch.Generator().manual_seed(1)) * 2
    found = spline(points, points @ matrix.T + offset, wanted)
    assert torch.allclose(found, wanted @ matrix.T + offset, atol=1e-3)
