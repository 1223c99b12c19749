"""Attack on the project with real processes: `python -m tests.reliability.attack` prints figures.

Each part draws its moments from the seed. `--root` attacks another checkout of the project with the
same moments, for figures before and after a change.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from tests.conftest import ROOT
from tests.reliability import (
    attack_checkpoints,
    attack_disks,
    attack_flips,
    attack_fuzz,
    attack_models,
    attack_pairs,
    attack_pictures,
    attack_serving,
    attack_stops,
    attack_swaps,
    attack_uploads,
)
from tests.reliability.serving_doors import mlflow_door, studio_door

Part = Callable[[int, random.Random, Path, Path], Iterable[str]]
PARTS: dict[str, Part] = {
    "stops": attack_stops.attack,
    "kills": attack_stops.attack_by_kills,
    "swaps": attack_swaps.attack,
    "disks": attack_disks.attack,
    "pairs": attack_pairs.attack,
    "flips": attack_flips.attack,
    "pictures": attack_pictures.attack,
    "fuzz": attack_fuzz.attack,
    "checkpoints": attack_checkpoints.attack,
    "models": attack_models.attack,
    "studio": partial(attack_serving.attack, opened=studio_door),
    "uploads": attack_uploads.attack,
    "mlflow": partial(attack_serving.attack, opened=mlflow_door),
}


def main() -> None:
    """Run the parts that are named, by default all of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.attack")
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="default: all")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--root", type=Path, default=ROOT, help="checkout that is attacked")
    given = parser.parse_args()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    # so that what it has started goes with it
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    for name in given.parts or PARTS:
        rng = random.Random(f"{given.seed} {name}")
        with tempfile.TemporaryDirectory(prefix="attack-") as folder:
            for line in PARTS[name](given.rounds, rng, Path(folder), given.root.resolve()):
                print(f"{name}: {line}", flush=True)


if __name__ == "__main__":
    main()
