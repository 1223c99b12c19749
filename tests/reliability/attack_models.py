"""Attack by model folders: each door refuses them in a sentence, within limits."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

from dualstylegan.errors import DataError
from dualstylegan.portrait.model import PortraitModel
from dualstylegan.studio.server import application
from tests.reliability.measuring import fault_of, measured
from tests.reliability.strange_models import EDITS, whole_model
from tests.support.command import run

SECONDS = 20
MAX_BYTES = 1 << 30


def attack(rounds: int, rng: random.Random, folder: Path, root: Path) -> Iterator[str]:
    """Open every hostile model by every door; `rounds`, `rng` and `root` are not used.

    Yields:
        A line of counts, and one per fault.
    """
    whole, photo = whole_model(folder / "whole"), folder / "photo.png"
    Image.new("RGB", (256, 256), "grey").save(photo)
    faults: list[str] = []
    worst, longest, refused, count = 0, 0.0, 0, 0
    for kind, edit in EDITS.items():
        model = folder / "model"
        shutil.rmtree(model, ignore_errors=True)
        shutil.copytree(whole, model)
        edit(model)
        for door, act in _doors(model, photo).items():
            found = measured(act, folder / "report")
            count += 1
            refused += found.said == "refused"
            worst, longest = max(worst, found.peak), max(longest, found.seconds)
            if found.said not in ("refused", "done"):
                faults.append(f"{kind}, {door}: {found.said}")
            if found.peak > MAX_BYTES or found.seconds > SECONDS:
                faults.append(f"{kind}, {door}: {found.peak >> 20} MiB, {found.seconds:.0f} s")
    yield (
        f"{len(EDITS)} models, {count} times opened: {refused} refused, {len(faults)} faults; "
        f"at most {worst >> 20} MiB, {longest:.1f} CPU-seconds"
    )
    yield from faults


def _doors(model: Path, photo: Path) -> dict[str, Callable[[], object]]:
    """Return the ways to open a model."""

    def command(*words: object) -> Callable[[], None]:
        def act() -> None:
            done = run(*words)
            errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
            for line in errors:
                if (fault := fault_of(line)) is not None:
                    raise AssertionError(fault)
            if done.status not in (0, 1, 2):
                raise AssertionError(f"status {done.status}")
            if done.status:
                raise DataError("refused")

        return act

    return {
        "load": lambda: PortraitModel.from_pretrained(model),
        "serve": lambda: application(PortraitModel.from_pretrained(model)),
        "styles": command("styles", model),
        "verify": command("verify", model),
        "transfer": command(
            "transfer", photo, "--model", model, "--style", "stone", "-o", f"{model}.png"
        ),
    }
