"""Cost of one more portrait: each per-image stage and stage 3 at 10, 100 and 300 portraits.

    python -m benchmarks.growth [--counts 10 100 300]

The stages themselves run, as the processes that DVC starts, in a folder of their own: portraits are
added, the stage runs, then it runs once more with nothing new. What the second run took is the
price of starting; the rest, over the new portraits, is the price of one. Few steps a portrait, as
the shape of the curve is asked for. The portraits are faces of the embedded generator, each moved
and relit in a way of its own. CPU-seconds of all threads, and the peak of the process.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml

from dualstylegan.finetuning.discriminator import augment
from dualstylegan.io.checkpoints import save_tensors
from dualstylegan.io.files import write_json
from dualstylegan.io.images import tensor_to_image, write_png
from dualstylegan.networks.config import CONFIG_FILE, MODEL_FILE
from dualstylegan.networks.loading import EMBEDDED_CONFIG, EmbeddedNetworks
from tasks.shared.paths import Paths

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("portraits", "align", "invert", "destylize", "finetune", "refine")
HEAD = "stage      portraits   new    CPU-s    again  each new    MiB"
SOURCE = Path("mine")
PORTRAIT_PX = 320
CONTENTS = 1
# Starts a command and prints what it used. Linux counts what a process held when it started another
# as that one's peak: this one holds little.
SUPERVISOR = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, used = os.wait4(process.pid, 0)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""
CHANGES: dict[str, dict[str, object]] = {
    "portraits": {"source": str(SOURCE)},
    "invert": {"style_steps": 1},
    "package": {"fit_steps": 0},
    "destylize": {"steps": 1},
    "runtime": {"picture_steps": {"adapt": 0, "finetune": 0}},
    "finetune": {"steps": 2},
    "refine": {"steps": 1},
}


@dataclass(frozen=True)
class Run:
    """CPU-seconds of a stage's process and its peak memory in MiB."""

    cpu: float
    peak: float


def prepare() -> None:
    """Settings and networks in the working folder; g and G before any style stand for trained."""
    settings = yaml.safe_load((ROOT / "params.yaml").read_text())
    for section, values in CHANGES.items():
        settings[section] |= values
    Path("params.yaml").write_text(yaml.safe_dump(settings))
    Paths.data.mkdir()
    for folder in (Paths.base, Paths.weights):
        folder.symlink_to(ROOT / folder)
    networks = EmbeddedNetworks(Paths.weights, Paths.base)
    adapted = Paths.adapted
    adapted.mkdir(parents=True)
    save_tensors(adapted / MODEL_FILE, networks.generator().state_dict())
    write_json(adapted / CONFIG_FILE, EMBEDDED_CONFIG.generator.model_dump(mode="json"))


@torch.no_grad()
def draw_portraits(first: int, last: int) -> None:
    """Portraits number `first` to `last`, and the content faces."""
    generator = EmbeddedNetworks(Paths.weights, Paths.base).generator()
    kinds = [("style", number) for number in range(first, last)]
    kinds += [("content", number) for number in range(CONTENTS)]
    for kind, number in kinds:
        draw = torch.Generator().manual_seed(number)
        z = torch.randn(1, generator.style_dim, generator=draw)
        face = generator(z, truncation=0.5, size=256).clamp(-1, 1)
        moved = torch.nn.functional.interpolate(augment(face, torch.ones(()), draw), PORTRAIT_PX)
        write_png(SOURCE / kind / f"{kind}{number:03d}.png", tensor_to_image(moved[0]))


def run(stage: str) -> Run:
    """One stage, as DVC starts it."""
    command = [sys.executable, "-c", SUPERVISOR, sys.executable, "-m", f"tasks.{stage}"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    found = subprocess.run(command, env=environment, capture_output=True, text=True)
    if found.returncode:
        raise SystemExit(f"{stage}: {found.stderr}")
    cpu, peak = map(float, found.stdout.split())
    return Run(cpu, peak / 2**10)


def main() -> None:
    """`python -m benchmarks.growth`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--counts", type=int, nargs="+", default=[10, 100, 300])
    given = parser.parse_args()
    os.chdir(tempfile.mkdtemp())
    prepare()
    print(HEAD)
    before = 0
    for count in given.counts:
        draw_portraits(before, count)
        for stage in STAGES:
            first, again = run(stage), run(stage)
            new = count - before
            each = (first.cpu - again.cpu) / new
            print(
                f"{stage:10} {count:9} {new:5} {first.cpu:8.1f} {again.cpu:8.1f} {each:9.3f}"
                f" {first.peak:6.0f}",
                flush=True,
            )
        before = count


if __name__ == "__main__":
    main()
