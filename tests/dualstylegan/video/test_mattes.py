"""Mattes through a shot: noise falls, changes are followed, on any number of threads alike."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from dualstylegan.faces.filters import Map
from dualstylegan.video.mattes import SteadyMattes

SHAPE = (2, 32, 32)
RATE = 25


def noisy_mattes(count: int) -> list[Map]:
    """Return mattes of a half plane, whose edge moves by eight pixels in the middle of the shot."""
    noise = np.random.default_rng(0)
    mattes = []
    for i in range(count):
        matte = np.zeros(SHAPE, np.float32)
        matte[:, :, 12 if i < count // 2 else 20 :] = 1
        mattes.append((matte + noise.normal(0, 0.03, SHAPE)).astype(np.float32))
    return mattes


def steadied(mattes: list[Map], threads: int) -> list[Map]:
    steady = SteadyMattes()
    frames = [steady.next_frame(i / RATE) for i in range(len(mattes))]

    def work(i: int) -> Map:
        with frames[i] as function:
            return function(mattes[i])

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, range(len(mattes))))


def test_noise_falls_and_a_change_is_followed() -> None:
    mattes = noisy_mattes(40)
    shown = steadied(mattes, 1)
    before, after = (np.diff(np.stack(x[5:20]), axis=0).std() for x in (mattes, shown))
    assert after < 0.3 * before
    swung = shown[22][:, 8:24, 13:19]
    assert np.abs(swung).mean() < 0.15, "the old edge is gone after two frames"


@pytest.mark.parametrize("threads", [2, 3])
def test_the_number_of_threads_changes_nothing(threads: int) -> None:
    mattes = noisy_mattes(12)
    alone, together = steadied(mattes, 1), steadied(mattes, threads)
    assert all((a == b).all() for a, b in zip(alone, together, strict=True))


def test_a_frame_that_fails_or_has_no_mattes_holds_up_no_other() -> None:
    steady = SteadyMattes()
    one, two, three, four = (steady.next_frame(i / RATE) for i in range(4))
    with pytest.raises(RuntimeError), two:
        raise RuntimeError
    with three:
        pass
    with one as function:
        function(np.zeros(SHAPE, np.float32))
    with four as function:
        assert function(np.ones(SHAPE, np.float32)).max() == 1
