"""Work on several threads: order, errors, recording of gradients, torch's own number of threads."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
import torch

from dualstylegan.networks.threads import OrderedWork, beside, mapped, one_thread

CPU = torch.device("cpu")


@pytest.fixture(autouse=True, params=[1, 2, 4])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    assert torch.get_num_threads() == request.param
    torch.set_num_threads(before)


def test_work_on_threads_keeps_its_order_and_its_bound() -> None:
    began: list[int] = []

    def task(number: int) -> int:
        began.append(number)
        time.sleep(0.01 * (number % 3))
        return number

    done: list[int] = []
    ahead = 0
    with OrderedWork[int](torch.device("cpu")) as work:
        for number in range(20):
            done += work.submit(lambda number=number: task(number))  # type: ignore[misc]
            ahead = max(ahead, number + 1 - len(done))
        done += work.drain()
    assert done == list(range(20))
    assert ahead <= 2 * torch.get_num_threads()


def test_work_on_one_thread_leaves_their_number_as_it_was() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with suppress(KeyboardInterrupt), one_thread():
            assert torch.get_num_threads() == 1
            raise KeyboardInterrupt
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_items_are_mapped_in_order_on_a_thread_each() -> None:
    def task(number: int) -> tuple[int, int, bool]:
        time.sleep(0.01 * (number % 3))
        return number, torch.get_num_threads(), torch.is_grad_enabled()

    assert list(mapped(task, range(7), CPU)) == [(number, 1, True) for number in range(7)]
    with torch.no_grad():
        assert not any(recorded for _, _, recorded in mapped(task, range(3), CPU))
    assert next(mapped(task, range(100), CPU))[0] == 0


def test_an_error_of_an_item_ends_the_map() -> None:
    def task(number: int) -> int:
        if number == 2:
            raise ValueError(number)
        return number

    done: list[int] = []
    with pytest.raises(ValueError, match="2"):
        done.extend(mapped(task, range(9), CPU))
    assert done == [0, 1]


def test_two_run_beside_each_other_each_on_half_of_the_threads(threads: int) -> None:
    def seen() -> tuple[int, bool]:
        return torch.get_num_threads(), torch.is_grad_enabled()

    half = max(1, threads // 2)
    assert beside(seen, seen, CPU) == ((half, True), (half, True))
    with torch.no_grad():
        assert beside(seen, seen, CPU) == ((half, False), (half, False))


@pytest.mark.parametrize("place", [0, 1])
def test_an_error_of_either_is_raised_when_both_have_ended(place: int) -> None:
    ended = []

    def fault() -> None:
        raise ValueError("of one")

    def work() -> None:
        time.sleep(0.02)
        ended.append(True)

    pair = [work, work]
    pair[place] = fault
    with pytest.raises(ValueError, match="of one"):
        beside(pair[0], pair[1], CPU)
    assert ended or (torch.get_num_threads() == 1 and place == 0)
