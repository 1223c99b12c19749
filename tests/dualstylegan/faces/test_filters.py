"""Filters of maps: exact means at every place, and edges that are the image's."""

from __future__ import annotations

import numpy as np
import pytest

from dualstylegan.faces.filters import GuidedFilter, blurred, box_mean

SIZE = 24
RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("radius", [0, 1, 2, 5, 7, 40])
def test_a_box_mean_is_the_mean_of_what_lies_in_the_box(radius: int) -> None:
    """At the border, and where the box is larger than the map, as well."""
    maps_CHW = RANDOM.random((2, SIZE, SIZE + 3)).astype(np.float32)
    means_CHW = box_mean(maps_CHW, radius)
    assert means_CHW.dtype == np.float32
    for y, x in [(0, 0), (3, SIZE + 2), (11, 12), (SIZE - 1, 1)]:
        window = maps_CHW[:, max(0, y - radius) : y + radius + 1]
        window = window[..., max(0, x - radius) : x + radius + 1]
        assert means_CHW[:, y, x] == pytest.approx(window.mean((1, 2)), abs=1e-5)


def test_a_blur_keeps_an_even_map() -> None:
    assert blurred(np.full((SIZE, SIZE), 0.3, np.float32), 4.0) == pytest.approx(0.3)


def test_a_guided_filter_keeps_what_follows_the_image_and_smooths_the_rest() -> None:
    guide_CHW = RANDOM.random((3, SIZE, SIZE)).astype(np.float32)
    smooth = GuidedFilter(guide_CHW, 4, 1e-6)
    after_image = 0.2 + guide_CHW[0] - 0.5 * guide_CHW[2]
    assert smooth(after_image) == pytest.approx(after_image, abs=1e-3)
    noise = RANDOM.normal(size=(SIZE, SIZE)).astype(np.float32)
    assert smooth(noise).std() < 0.4 * noise.std()


def test_a_guided_filter_carries_a_map_to_a_finer_image() -> None:
    fine_CHW = np.zeros((3, 4 * SIZE, 4 * SIZE), np.float32)
    fine_CHW[:, :, 50:] = 1
    guide_CHW = fine_CHW.reshape(3, SIZE, 4, SIZE, 4).mean((2, 4))
    carried_HW = GuidedFilter(guide_CHW, 2, 1e-5)(guide_CHW[0], fine_CHW)
    assert carried_HW == pytest.approx(fine_CHW[0], abs=0.02)
