"""Attack by flipped bits: each is to be noticed when the file is read."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from dualstylegan.codes.tables import CodeTable, read_codes, write_codes
from dualstylegan.errors import DualStyleGANError
from dualstylegan.io.checkpoints import load_state, save_state
from dualstylegan.networks.config import CARD_FILE
from dualstylegan.portrait.model import PortraitModel
from tasks.shared.caching import Entry, read_entry, write_entry
from tasks.shared.dataframes import read_dataframe, write_dataframe
from tests.support.portrait_models import tiny_model, with_sampler

FLIPS_PER_ROUND = 100
FACTS = {"score": 0.5, "flags": ["small"]}
TENSORS = {"body": torch.linspace(-1, 1, 300), "count": torch.arange(5)}


@dataclass(frozen=True)
class Target:
    """Files that are damaged one at a time, and the reading of them.

    Attributes:
        name: of the kind.
        files: to damage.
        unnoticed: returns True if it reads them as if nothing had happened, and they differ.
    """

    name: str
    files: tuple[Path, ...]
    unnoticed: Callable[[], bool]


def _raises(read: Callable[[], object]) -> Callable[[], bool]:
    def unnoticed() -> bool:
        try:
            read()
        except DualStyleGANError:
            return False
        return True

    return unnoticed


def _targets(folder: Path) -> list[Target]:
    state, table, codes = (
        folder / name for name in ("state.safetensors", "t.parquet", "c.parquet")
    )
    save_state(state, {"step": 7, "adam": [TENSORS, {"rate": 0.5}], "done": None})
    write_dataframe(table, pd.DataFrame({"name": ["a", None], "quad": [[1.0], []]}))
    digest = hashlib.sha256(b"").hexdigest()
    write_codes(codes, CodeTable(("a",), (digest,), "z_plus", torch.ones(1, 3, 8), digest))
    write_entry(folder, "key", Entry(b"pixels" * 20, FACTS))
    model = folder / "model"
    with_sampler(tiny_model()).save_pretrained(model)

    def kept_item_differs() -> bool:
        found = read_entry(folder, "key")
        return found is not None and found != Entry(b"pixels" * 20, FACTS)

    # the card is for people, who edit it
    files = sorted(p for p in model.rglob("*") if p.is_file() and p.name != CARD_FILE)
    return [
        Target("training states", (state,), _raises(lambda: load_state(state))),
        Target("tables", (table,), _raises(lambda: read_dataframe(table))),
        Target("code tables", (codes,), _raises(lambda: read_codes(codes))),
        Target("kept items", (folder / "key.json", folder / "key.bin"), kept_item_differs),
        Target(
            "model folders", tuple(files), _raises(lambda: PortraitModel.from_pretrained(model))
        ),
    ]


def attack(rounds: int, rng: random.Random, folder: Path, root: Path) -> Iterator[str]:
    """Flip bits of states, tables, kept items and model folders; `root` is not used.

    Yields:
        A line per kind: the flips that were not noticed, of how many.
    """
    for target in _targets(folder):
        missed = 0
        for _ in range(rounds * FLIPS_PER_ROUND // 5):
            path = rng.choice(target.files)
            whole = path.read_bytes()
            place = rng.randrange(len(whole) * 8)
            damaged = bytearray(whole)
            damaged[place // 8] ^= 1 << place % 8
            path.write_bytes(damaged)
            missed += target.unnoticed()
            path.write_bytes(whole)
        yield f"{target.name}: {missed} of {rounds * FLIPS_PER_ROUND // 5} flips unnoticed"
