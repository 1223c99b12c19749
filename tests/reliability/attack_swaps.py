"""Attack by readers on a model that is replaced all the time, and by killed writers."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.conftest import ROOT

WRITE = """
import sys
from pathlib import Path
from tests.support.portrait_models import tiny_model
models = [tiny_model(seed) for seed in range(2)]
for model, seed in zip(models, range(2)):
    model.config = model.config.model_copy(update={"name": f"generation {seed}"})
for number in range(1_000_000):
    models[number % 2].save_pretrained(Path(sys.argv[1]))
"""
READ = """
import json, sys, time
from pathlib import Path
from dualstylegan.portrait.model import PortraitModel
from tests.support.portrait_models import tiny_model
folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
known = {f"generation {s}": tiny_model(s).styles.extrinsic_SLD for s in range(2)}
figures = dict(looks=0, absent=0, loads=0, failed=0, mixed=0)
end = time.monotonic() + seconds
while time.monotonic() < end:
    for _ in range(500):
        figures["looks"] += 1
        figures["absent"] += not folder.is_dir()
    figures["loads"] += 1
    try:
        model = PortraitModel.from_pretrained(folder)
    except Exception as error:
        figures["failed"] += 1
        print(type(error).__name__, error, file=sys.stderr)
    else:
        figures["mixed"] += not model.styles.extrinsic_SLD.equal(known[model.config.name])
print(json.dumps(figures))
"""
SECONDS_PER_ROUND = 6.0


def attack(rounds: int, rng: random.Random, folder: Path, root: Path) -> list[str]:
    """Look for, and load, a model that another process replaces all the time."""
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{ROOT}"}
    place = folder / "models" / "portrait"
    writer = [sys.executable, "-c", WRITE, str(place)]
    process = subprocess.Popen(writer, env=environment, cwd=folder)
    while not place.is_dir():
        time.sleep(0.1)
    reader = [sys.executable, "-c", READ, str(place), str(rounds * SECONDS_PER_ROUND)]
    done = subprocess.run(reader, env=environment, cwd=folder, capture_output=True, text=True)
    process.kill()
    process.wait()
    kills = 0
    for _ in range(rounds):
        process = subprocess.Popen(writer, env=environment, cwd=folder)
        known = set(place.parent.iterdir())
        end = time.monotonic() + 60
        while set(place.parent.iterdir()) <= known and time.monotonic() < end:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    left = len(list(place.parent.iterdir())) - 1
    save = WRITE.replace("1_000_000", "1")
    subprocess.run(
        [sys.executable, "-c", save, str(place)], env=environment, cwd=folder, check=True
    )
    after = len(list(place.parent.iterdir())) - 1
    return [
        done.stdout.strip() or done.stderr[-300:],
        f"{left} hidden entries after {kills} killed saves, {after} after the next",
    ]
