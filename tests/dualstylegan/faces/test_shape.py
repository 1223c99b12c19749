"""Structure, pose and expression are told apart, whatever the size, place and tilt of a face."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dualstylegan.evaluation.bootstrap import Array
from dualstylegan.evaluation.shape_measures import (
    LandmarkTables,
    attribute_changes,
    measure_shapes,
    structure_progress,
)
from dualstylegan.faces.align import align_face
from dualstylegan.faces.plausible import PlausibleLandmarks, disagreement
from dualstylegan.faces.shape import MIRRORED, expressions, poses, structures
from dualstylegan.io.images import read_image
from tests.support.made_up_landmarks import made_up_landmarks


def tilted(shape_K2: Array, degrees: float, scale: float = 1.0, shift: float = 0.0) -> Array:
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    moved: Array = scale * shape_K2 @ turn + shift
    return moved


def test_each_landmark_has_one_on_the_other_side() -> None:
    assert sorted(MIRRORED) == list(range(68))
    assert (MIRRORED[MIRRORED] == np.arange(68)).all()
    shape = made_up_landmarks()
    across = shape[MIRRORED] * [-1, 1] + [256, 0]
    assert np.allclose(across, shape)


@pytest.mark.parametrize("degrees", [0, 20, -70, 120, 180])
def test_place_size_and_tilt_do_not_matter(degrees: float) -> None:
    shape = made_up_landmarks(1.1, 0.9, 0.2, yaw=0.2)
    both = np.stack((shape, tilted(shape, degrees, 3.0, 40.0)))
    for of in (structures, poses, expressions):
        here, there = of(both)
        assert np.allclose(here, there, atol=1e-9), of.__name__


def test_turning_the_head_is_pose_and_not_structure() -> None:
    ahead, left, right = (made_up_landmarks(yaw=y) for y in (0, 0.15, -0.15))
    wide = made_up_landmarks(1.2)
    shapes = np.stack((ahead, left, right, wide))
    turned = structures(shapes)
    apart = np.linalg.norm(turned - turned[0], axis=(1, 2))
    assert apart[1] < 0.1 * apart[3]
    yaw = poses(shapes)[:, 0]
    assert yaw[1] == pytest.approx(-yaw[2])
    assert yaw[1] > 0.05
    assert yaw[[0, 3]] == pytest.approx(0)


def test_an_open_mouth_is_expression_and_not_pose() -> None:
    shut, wide_open = np.stack((made_up_landmarks(open_=0.1), made_up_landmarks(open_=0.5)))[
        :, None
    ]
    assert expressions(wide_open)[0, 0] > expressions(shut)[0, 0] + 0.3
    assert poses(wide_open) == pytest.approx(poses(shut), abs=1e-6)


def shapes_of(share: float, lost_exemplar: int | None = None) -> LandmarkTables:
    """Results that went a share of the way from their face to their exemplar."""
    draw = np.random.default_rng(0)
    faces = np.stack([made_up_landmarks() + draw.normal(0, 2, (68, 2)) for _ in range(3)])
    exemplars = np.stack([made_up_landmarks(*draw.uniform(0.7, 1.4, 2)) for _ in range(5)])
    results = (1 - share) * faces[:, None] + share * exemplars[None]
    if lost_exemplar is not None:
        exemplars[lost_exemplar] = np.nan
    return LandmarkTables(faces, exemplars, results)


def test_structure_moves_from_nothing_to_all_of_the_way() -> None:
    for share, wanted in ((0.0, 0.0), (0.5, 0.5), (1.0, 1.0)):
        found = measure_shapes(shapes_of(share), seed=0, resamples=50)
        assert found["structure_moved"].value == pytest.approx(wanted, abs=0.03)
        other = found["structure_moved_other_line"].value
        assert found["structure_own"].value == pytest.approx(wanted - other, abs=0.03)
    assert other < 0.7


def test_moving_all_faces_alike_is_no_fidelity() -> None:
    given = shapes_of(0.0)
    exemplar = given.exemplars_SK2.mean(0)
    alike = LandmarkTables(
        given.faces_CK2,
        given.exemplars_SK2,
        np.broadcast_to(exemplar, given.results_CSK2.shape).copy(),
    )
    found = measure_shapes(alike, seed=0, resamples=50)
    assert found["structure_moved"].value > 0.1
    assert found["structure_own"].value == pytest.approx(0, abs=0.02)


def test_what_cannot_be_measured_is_left_out_and_told() -> None:
    whole, part = (measure_shapes(shapes_of(0.5, lost), seed=0, resamples=50) for lost in (None, 2))
    assert whole["structure_measured"].value == 1
    assert part["structure_measured"].value == pytest.approx(0.8)
    assert part["artefact_exemplars_line"].value == pytest.approx(0.2)
    assert part["artefact_rate"].value == 0
    assert part["structure_moved"].value == pytest.approx(0.5, abs=0.03)
    nothing = LandmarkTables(*(np.full_like(x, np.nan) for x in vars(shapes_of(0.5)).values()))
    found = measure_shapes(nothing, seed=0, resamples=50)
    assert found["artefact_rate"].value == 1
    assert "structure_moved" not in found
    assert found["structure_measured"].value == 0


@pytest.mark.parametrize("seed", range(40))
def test_whatever_faces_are_lost_each_figure_is_a_number_or_is_left_out(seed: int) -> None:
    draw, given = np.random.default_rng(seed), shapes_of(0.5)
    lost = draw.uniform(0, 1.2)
    counts = (draw.integers(2, 4), draw.integers(2, 6))
    faces, exemplars = given.faces_CK2[: counts[0]], given.exemplars_SK2[: counts[1]]
    results = given.results_CSK2[: counts[0], : counts[1]]
    for landmarks in (faces, exemplars, results):
        landmarks[draw.random(landmarks.shape[:-2]) < lost] = np.nan
    found = measure_shapes(LandmarkTables(faces, exemplars, results), seed=0, resamples=20)
    values = [value for figure in found.values() for value in figure.as_dict().values()]
    assert np.isfinite(values).all()
    assert {"artefact_rate", "structure_measured"} <= set(found)


def test_a_face_in_one_style_alone_moves_towards_no_other_exemplar() -> None:
    given = shapes_of(1.0)
    exemplars = given.exemplars_SK2[:2]
    exemplars[1] = np.nan
    tables = LandmarkTables(given.faces_CK2, exemplars, given.results_CSK2[:, :2])
    found = measure_shapes(tables, seed=0, resamples=20)
    assert found["structure_moved"].value == pytest.approx(1, abs=0.03)
    assert "structure_own" not in found
    assert "pose_change" in found


def test_other_exemplars_are_those_that_can_be_measured() -> None:
    over_CST, under_CST = structure_progress(shapes_of(1.0, 2))
    assert over_CST.shape == under_CST.shape == (3, 5, 5)
    assert np.isnan(over_CST[:, :, 2]).all()
    assert np.isfinite(over_CST[:, :, [0, 1, 3, 4]]).all()


UNITS = (1.0, 2.0)


def test_change_is_none_for_the_same_and_that_of_another_face_for_another() -> None:
    faces_CF = np.random.default_rng(2).normal(size=(6, 2))
    kept = np.repeat(faces_CF[:, None], 4, 1)
    own, others, people = attribute_changes(faces_CF, kept, UNITS, typical=False)
    assert own == pytest.approx(0)
    assert np.nanmean(people) == pytest.approx(others.mean())
    one_unit = attribute_changes(faces_CF, kept + np.array(UNITS), UNITS, typical=False)[0]
    assert one_unit == pytest.approx(1)


def test_what_an_exemplar_does_to_all_faces_alike_is_no_change_of_expression() -> None:
    faces_CF = np.random.default_rng(2).normal(size=(6, 2))
    large_eyes = np.arange(4.0)[None, :, None] + faces_CF[:, None]
    assert attribute_changes(faces_CF, large_eyes, UNITS, typical=True)[0] == pytest.approx(0)
    assert attribute_changes(faces_CF, large_eyes, UNITS, typical=False)[0].mean() > 0.5
    same = np.zeros_like(large_eyes)
    assert attribute_changes(faces_CF, same, UNITS, typical=True)[0].mean() > 0.4


def test_two_witnesses_of_a_face_agree_or_not() -> None:
    shape = made_up_landmarks()
    points = np.stack((shape[36:42].mean(0), shape[42:48].mean(0), shape[30], shape[48], shape[54]))
    assert disagreement(shape, points) == 0
    eyes = np.linalg.norm(points[1] - points[0])
    assert disagreement(shape, points + np.array([0.3 * eyes, 0])) == pytest.approx(0.3)


def test_landmarks_of_a_photo_and_none_of_what_is_no_face(weights: Path) -> None:
    find = PlausibleLandmarks(weights)
    photo = read_image(weights / "astronaut.png")
    face = align_face(photo, 128, weights_dir=weights).image
    picture = torch.from_numpy(np.array(face)).permute(2, 0, 1)
    shape = find(picture)
    assert np.isfinite(shape).all()
    assert shape[36:42].mean(0)[0] < 64 < shape[42:48].mean(0)[0]
    assert np.isnan(find(torch.randint(0, 256, (3, 128, 128), dtype=torch.uint8))).all()
    torn = torch.cat((picture[:, 64:], picture[:, :64]), 1)
    assert np.isnan(find(torn)).all()
