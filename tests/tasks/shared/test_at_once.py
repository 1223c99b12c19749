"""Fits at once: results, order of bits, and a stop while several run."""

from __future__ import annotations

import threading

import pytest
import torch

from tasks.shared.at_once import Tick, at_once


def test_fits_at_once_have_the_results_of_one_after_another_and_show_all_steps() -> None:
    """Both fits must be running before either goes on; each has one thread of torch."""
    both = threading.Barrier(2, timeout=60)

    def fit(number: int, tick: Tick) -> tuple[int, int]:
        both.wait()
        tick(1)
        tick(2)
        return number * number, torch.get_num_threads()

    shown: list[int] = []
    threads = torch.get_num_threads()
    found = dict(at_once(fit, range(4), shown.append, 2))
    assert found == {number: (number * number, 1) for number in range(4)}
    assert shown == list(range(1, 9))
    assert torch.get_num_threads() == threads


def test_an_error_in_one_fit_ends_the_others_after_their_step() -> None:
    failed, steps = threading.Event(), []

    def fit(number: int, tick: Tick) -> None:
        if number:
            failed.set()
            raise ValueError(number)
        failed.wait(60)
        for step in range(10**9):
            tick(step)
            steps.append(step)

    with pytest.raises(ValueError, match="1"):
        list(at_once(fit, range(2), lambda done: None, 2))
    assert len(steps) < 10**9
