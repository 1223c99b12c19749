"""Map over pictures: what is cached, killed, damaged or refused; see test_cluster for Dask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch

from dualstylegan.errors import ClusterError
from tasks.shared.at_once import Tick
from tasks.shared.caching import Entry, cache_key
from tasks.shared.mapping import Computation, mapped, open_computation
from tasks.shared.paths import DEMO, Paths
from tasks.shared.tensors import stack_entries, tensor_entries
from tests.support.counted import CountedLetters, letters_of
from tests.support.settings import shipped


class Doubler(Computation):
    """Doubles numbers that it is asked for by their digits, and dies after some of them."""

    stage = "double"

    def __init__(self, dies_after: int = 100) -> None:
        self.dies_after, self.done = dies_after, list[str]()

    def keys(self, names: Sequence[str]) -> list[str]:
        return [cache_key(self.stage, name) for name in names]

    def compute(self, names: Sequence[str], tick: Tick) -> Iterator[Entry]:
        for name in names:
            if len(self.done) == self.dies_after:
                raise KeyboardInterrupt
            self.done.append(name)
            yield Entry(str(2 * int(name)).encode(), {})


def doubled(computation: Doubler, numbers: str) -> list[int]:
    return [int(entry.data or b"") for entry in mapped(computation, numbers)]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_only_what_is_missing_is_made_and_once() -> None:
    killed = Doubler(dies_after=2)
    with pytest.raises(KeyboardInterrupt):
        doubled(killed, "123")
    again = Doubler()
    assert doubled(again, "12343") == [2, 4, 6, 8, 6]
    assert again.done == ["3", "4"]


def test_a_damaged_result_is_made_anew() -> None:
    doubled(Doubler(), "12")
    (Paths.cache / "double" / f"{cache_key('double', '2')}.bin").write_bytes(b"9")
    again = Doubler()
    assert doubled(again, "12") == [2, 4]
    assert again.done == ["2"]


def test_tensors_have_one_order_in_every_process() -> None:
    """Tables are written in this order; their bytes must not depend on the process."""
    names = [f"n{i}" for i in range(12)]
    entries = tensor_entries({name: torch.arange(2.0) for name in reversed(names)})
    stacked = stack_entries(entries)
    assert list(stacked) == sorted(names)
    assert stacked["n3"].tolist() == [0.0, 1.0]


def test_a_worker_derives_the_keys_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that were replaced are read anew; other files than those asked for are refused."""
    monkeypatch.setattr("tasks.shared.mapping.VISIBLE_SECONDS", 0.2)
    letters_of("ab")
    settings = shipped()
    described = settings.model_dump(mode="json", by_alias=True)
    opened = "tests.support.counted:CountedLetters", described, DEMO
    work = open_computation(*opened)
    own = CountedLetters()
    before = own.keys(["a"])
    assert len(work([["a"], before], lambda done: None)) == 1
    letters_of("xb")
    with pytest.raises(ClusterError, match="reads other data"):
        open_computation(*opened)([["a"], before], lambda done: None)
    assert work([["a"], CountedLetters().keys(["a"])], lambda done: None)
