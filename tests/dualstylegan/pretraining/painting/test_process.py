"""Random processes: the same for every face, drawn from a seed alone, and different."""

from __future__ import annotations

import pytest
import torch

from dualstylegan.pretraining.painting.process import Process, draw_process
from dualstylegan.pretraining.painting.warp import Character, exaggerate, moved
from tests.support.schematic_face import SIZE, face_points, ramps
from tests.support.unstyled import Unstyled


def painted(process: Process) -> torch.Tensor:
    return process(Unstyled(), ramps(), torch.from_numpy(face_points()).float())


@pytest.mark.parametrize("seed", range(6))
def test_a_process_depends_on_its_seed_alone(seed: int) -> None:
    assert draw_process(seed) == draw_process(seed)
    result = painted(draw_process(seed))
    assert torch.equal(result, painted(draw_process(seed)))
    assert result.shape == (3, SIZE, SIZE)
    assert float(result.min()) >= -1
    assert float(result.max()) <= 1


def test_processes_differ() -> None:
    results = torch.stack([painted(draw_process(seed)) for seed in range(8)])
    apart = torch.cdist(results.flatten(1), results.flatten(1)) / results[0].numel() ** 0.5
    assert float(apart[~torch.eye(8, dtype=torch.bool)].min()) > 0.05


def test_landmarks_are_where_the_warp_moved_them() -> None:
    """The colours of `ramps` are coordinates: at a moved landmark they are those it came from."""
    character = Character(eyes=1.4, jaw=0.7, chin=0.1, head=1.1)
    points = torch.from_numpy(face_points()).float()
    warped = exaggerate(ramps(), face_points(), character)
    for before, after in zip(points, moved(points, character, SIZE), strict=True):
        x, y = after.round().long().clamp(0, SIZE - 1).tolist()
        came_from = (warped[:2, y, x] + 1) / 2 * (SIZE - 1)
        assert torch.allclose(came_from, before, atol=1.5)
