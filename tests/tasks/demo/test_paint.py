"""Painting: flat forms with crisp edges, strokes along them, colours of the palette."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dualstylegan.pretraining.painting.brushwork import (
    along,
    flat_tones,
    gaussian_blur,
    kuwahara,
    lines,
    smoothed,
    tangents,
)
from dualstylegan.pretraining.painting.paint import coloured, eye_mask, skin_mask
from dualstylegan.pretraining.painting.warp import (
    Character,
    displacement,
    exaggerate,
    smallest_area,
)
from tasks.demo.recipes import BRUSHES, CHARACTERS, PALETTES
from tests.support.schematic_face import SIZE, face_points, ramps
from tests.support.unstyled import Unstyled


def noisy_step() -> torch.Tensor:
    step = torch.zeros(3, 64, 64)
    step[:, :, 32:] = 1.0
    noise = 0.04 * torch.randn(1, 64, 64, generator=torch.Generator().manual_seed(0))
    return (step + noise).clamp(0, 1)


def head() -> torch.Tensor:
    """A bright warm disc with dark eyes on a blue ground."""
    line = torch.arange(SIZE).float()
    y, x = torch.meshgrid(line, line, indexing="ij")
    disc = ((x / SIZE - 0.5) ** 2 / 0.09 + (y / SIZE - 0.5) ** 2 / 0.16 < 1).float()
    skin, ground = torch.tensor((0.9, 0.65, 0.5)), torch.tensor((0.3, 0.4, 0.6))
    picture = skin.view(3, 1, 1) * disc + ground.view(3, 1, 1) * (1 - disc)
    for eye in (face_points()[36:42].mean(0), face_points()[42:48].mean(0)):
        picture[:, ((x - eye[0]) ** 2 + (y - eye[1]) ** 2) < 9] = 0.1
    return picture


@given(
    st.builds(
        Character,
        eyes=st.floats(0.5, 3),
        nose=st.floats(0.5, 3),
        mouth=st.floats(0.5, 3),
        jaw=st.floats(0.4, 3),
        cheeks=st.floats(0.5, 2),
        head=st.floats(0.5, 2),
        chin=st.floats(-0.5, 0.8),
        brows=st.floats(-0.3, 0.3),
        smile=st.floats(-0.3, 0.3),
    )
)
@settings(max_examples=25, deadline=None)
def test_no_character_folds_a_face(character: Character) -> None:
    line = torch.linspace(-1, 1, SIZE)
    y, x = torch.meshgrid(line, line, indexing="ij")
    warped = exaggerate(torch.stack((x, y, x)), face_points(), character)
    # The picture shows where each pixel came from: the Jacobian of that map stays positive.
    inner = slice(2, -2)
    dx = (warped[0] - x)[inner, inner] * SIZE / 2
    dy = (warped[1] - y)[inner, inner] * SIZE / 2
    assert smallest_area(dx, dy) > 0


@pytest.mark.parametrize("name", CHARACTERS)
def test_characters_need_hardly_any_damping(name: str) -> None:
    assert smallest_area(*displacement(CHARACTERS[name], face_points(), SIZE)) > 0.1


@pytest.mark.parametrize("method", ["kuwahara", "smoothed"])
def test_filters_keep_edges_and_drop_noise(method: str) -> None:
    picture = noisy_step()
    result = kuwahara(picture, 4) if method == "kuwahara" else smoothed(picture, 3, 2)
    assert float(result[:, :, 36:].std()) < 0.6 * float(picture[:, :, 36:].std())
    assert float(result[:, 8:-8, 35].mean() - result[:, 8:-8, 28].mean()) > 0.85


def test_strokes_run_along_an_edge_not_across() -> None:
    picture = noisy_step()
    direction = tangents(gaussian_blur(picture, 2.0), 3.0)
    assert float(direction[1, :, 30:34].abs().mean()) > 0.95
    drawn = along(picture, direction, 6.0)
    assert float(drawn[:, 8:-8, 33].mean() - drawn[:, 8:-8, 30].mean()) > 0.9
    assert float(drawn[:, 8:-8, 33].std()) < float(picture[:, 8:-8, 33].std())


def test_a_constant_stays_constant_along_strokes() -> None:
    flat = torch.full((2, 32, 32), 0.4)
    direction = torch.nn.functional.normalize(ramps()[:2, :32, :32], dim=0)
    assert torch.allclose(along(flat, direction, 9.0), flat, atol=1e-5)


def test_ink_lies_on_dark_lines_alone() -> None:
    picture = torch.full((3, 400, 400), 0.8)
    picture[:, :, 199:202] = 0.1
    ink = lines(picture, tangents(picture, 4.0))[0]
    assert float(ink[50:-50, 200].mean()) > 0.8
    assert float(ink[50:-50, 100].mean()) < 0.05


def test_tones_rise_and_are_few() -> None:
    light = torch.linspace(0, 0.999, 500).view(1, 1, -1)
    flat = flat_tones(light, 4)
    assert bool((flat.diff(dim=-1) >= -1e-6).all())
    assert abs(float(flat.max()) - 1) < 0.02
    assert float((flat.diff(dim=-1) < 1e-3).float().mean()) > 0.4


def test_a_scale_ends_in_its_own_colours() -> None:
    light = torch.tensor([[[0.0, 0.5, 1.0]]])
    colours = coloured(light, ("000000", "ff8000", "ffffff"))[:, 0]
    expected = torch.tensor([[0, 1, 1], [0, 128 / 255, 1], [0, 0, 1.0]])
    assert torch.allclose(colours, expected, atol=1e-6)


def test_skin_is_told_from_ground() -> None:
    mask = skin_mask(head(), torch.from_numpy(face_points()).float())[0]
    assert float(mask[SIZE * 6 // 10, SIZE // 2]) > 0.9
    assert float(mask[4, 4]) < 0.1


@pytest.mark.parametrize("brush", BRUSHES)
def test_paintings_are_repeatable_and_keep_the_eyes_dark(brush: str) -> None:
    points = torch.from_numpy(face_points()).float()
    painter = Unstyled()
    first, again, other = (
        painter.paint(head(), points, PALETTES[name], BRUSHES[brush])
        for name in ("sunset", "sunset", "forest")
    )
    assert torch.equal(first, again)
    assert float((first - other).abs().mean()) > 0.03
    assert 0 <= float(first.min()) <= float(first.max()) <= 1
    x, y = points[36:42].mean(0).round().int().tolist()
    assert float(first[:, y, x].mean()) < 0.5 * float(first[:, SIZE * 6 // 10, x].mean())
    assert float(eye_mask(points, SIZE)[0, y, x]) > 0.9
