"""Attack by a coverage-guided fuzzer, atheris, on the readers of pictures; without it, skipped.

`python -m tests.reliability.attack_fuzz` is the fuzzer's process, with libFuzzer's arguments.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

RUNS_PER_ROUND = 2000
MAX_MEMORY_MIB = 1536
FUZZER = "atheris"
INSTRUMENTED = ["PIL", "dualstylegan.io"]
SKIPPED = "skipped, as atheris is not installed: `pip install atheris`"


def attack(rounds: int, rng: random.Random, folder: Path, root: Path) -> Iterator[str]:
    """Fuzz the reading of pictures, with the small hostile files as seeds, up to the first fault.

    Yields:
        A line of counts, and one for the fault; without atheris, a line that says so.
    """
    if importlib.util.find_spec(FUZZER) is None:
        yield SKIPPED
        return
    # not above: what the fuzzer's process has imported before, it does not instrument
    from tests.reliability.attack_pictures import MUTATED_BYTES, SECONDS
    from tests.reliability.strange_pictures import corpus

    seeds, found = folder / "seeds", folder / "found"
    seeds.mkdir()
    found.mkdir()
    for number, data in enumerate(corpus().values()):
        if len(data) <= MUTATED_BYTES:
            (seeds / str(number)).write_bytes(data)
    limits = (f"-runs={rounds * RUNS_PER_ROUND}", f"-seed={rng.randrange(1, 1 << 31)}")
    bounds = (f"-timeout={SECONDS}", f"-rss_limit_mb={MAX_MEMORY_MIB}", f"-max_len={MUTATED_BYTES}")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            __name__,
            *limits,
            *bounds,
            f"-artifact_prefix={folder}/",
            found,
            seeds,
        ],
        cwd=root,
        capture_output=True,
        text=True,
        errors="replace",
    )
    executed = re.findall(r"Done (\d+) runs", done.stderr)
    faults = [path for path in folder.iterdir() if path.is_file()]
    said = executed[-1] if executed else "an unknown number of"
    covered = len(list(found.iterdir()))
    yield f"{said} executions, {covered} files of new coverage, {len(faults)} faults"
    for path in faults:
        yield f"{path.name}: {path.read_bytes().hex()}"
    if done.returncode and not faults:
        yield f"ended with {done.returncode}: {done.stderr[-300:]!r}"


def main() -> None:
    """Fuzz in this process, which the fuzzer ends."""
    atheris = importlib.import_module(FUZZER)
    with atheris.instrument_imports(include=INSTRUMENTED):
        images = importlib.import_module("dualstylegan.io.images")
        errors = importlib.import_module("dualstylegan.errors")
    logging.disable(logging.CRITICAL)

    def read(data: bytes) -> None:
        try:
            images.decode_image(data)
        except errors.ImageError:
            return

    atheris.Setup(sys.argv, read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
