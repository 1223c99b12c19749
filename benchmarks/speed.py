"""Speed beside the published formulation and the device's floor: one command, one table.

    python -m benchmarks.speed [--only GROUP ...] [--repeats 3] [--seconds 120] [--no-peaks]

Both sides have the same weights and inputs and take turns in one process; times are medians. The
reference is the published formulation in plain float32: weights for each image, filters channel by
channel, all weights of the generator with gradients, targets described anew in each step, pictures
for D rendered anew. CPU-seconds are those of all threads, and the floor is in them: the larger of
operations over the measured matrix rate, and bytes of their operands over the measured bandwidth.
Peaks are of a process of each side's own, beyond an interpreter with torch.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks.measure import Measured, Rates, Row, measure, own_peak
from benchmarks.rows import networks, stages, steps
from dualstylegan.io.allocator import keep_freed_memory
from dualstylegan.io.files import write_json
from tasks.shared.floor import bandwidth, matrix_rate
from tasks.shared.paths import Paths

GROUPS: dict[str, Callable[[], list[Row]]] = {
    "forward": lambda: networks.forward_rows(256),
    "forward-1024": lambda: networks.forward_rows(1024),
    "encoder": networks.encoder_rows,
    "contextual": networks.contextual_rows,
    "latent": steps.latent_rows,
    "adapt": steps.adapt_rows,
    "structure": steps.structure_rows,
    "style": steps.style_rows,
    "refinement": steps.refinement_rows,
    "transfer": stages.transfer_rows,
    "alignment": stages.alignment_rows,
    "sampler": stages.sampler_rows,
}
HEAD = (
    f"{'':62}CPU-seconds{'':23}seconds{'':19}MiB\n{'':52} {'GFLOP':>8}"
    f" {'floor':>8} {'ours':>8} {'theirs':>8} {'ratio':>6} {'ours':>8} {'theirs':>8} {'ratio':>6}"
    f" {'ours':>6} {'theirs':>6}"
)


def rates() -> Rates:
    """The device's rates in a CPU-second, whoever else keeps the machine busy."""
    device, clock = torch.device("cpu"), time.process_time
    dtypes = (torch.float32, torch.bfloat16)
    operations = {dtype: matrix_rate(device, dtype, clock) for dtype in dtypes}
    return Rates(operations, bandwidth(device, clock))


def peak_in_child(group: str, index: int, side: str) -> float:
    """Peak of one side of a row, run once in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.speed", "--peak", group, str(index), side]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(found.stdout.split()[-1])


def print_peak(group: str, index: str, side: str) -> None:
    """Peak memory of a child process, as `peak_in_child` reads it."""
    row = GROUPS[group]()[int(index)]
    build = row.ours if side == "ours" else row.theirs
    assert build is not None
    print(own_peak(build))


def show(found: Measured) -> None:
    """Print a line of the table."""
    cells = [f"{found.name:52} {found.gflop:8.1f} {found.floor:8.3f}"]
    sides = (found.ours, found.theirs)
    for kind in ("cpu", "wall"):
        ours, theirs = (None if side is None else getattr(side, kind) for side in sides)
        cells.append(f"{ours:8.3f}")
        cells.append(" " * 15 if theirs is None else f"{theirs:8.3f} {theirs / ours:5.2f}x")
    cells += [f"{side.peak:6.0f}" for side in sides if side is not None and side.peak is not None]
    print(*cells, flush=True)


def run(groups: Sequence[str], repeats: int, seconds: float, peaks: bool, out: Path) -> None:
    """Measure and print row by row; the file holds what has been measured so far."""
    device = rates()
    by_dtype = {networks.named(dtype): rate for dtype, rate in device.operations.items()}
    print(*(f"{rate / 1e9:.0f} GFLOP/s in {name}," for name, rate in by_dtype.items()), end=" ")
    print(f"{device.bytes / 1e9:.1f} GB/s, {torch.get_num_threads()} threads")
    print(HEAD)
    measured: list[dict[str, object]] = []
    for group in groups:
        for index, row in enumerate(GROUPS[group]()):

            def peak(side: str, group: str = group, index: int = index) -> float | None:
                return peak_in_child(group, index, side) if peaks else None

            found = measure(row, device, repeats, seconds, peak)
            show(found)
            measured.append(asdict(found))
            rates_found = {"operations": by_dtype, "bytes": device.bytes}
            write_json(out, {"rates": rates_found, "rows": measured})


def main() -> None:
    """`python -m benchmarks.speed`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", choices=list(GROUPS), default=list(GROUPS))
    parser.add_argument("--repeats", type=int, default=3, help="most turns of each side")
    parser.add_argument("--seconds", type=float, default=120, help="no turn of a row begins later")
    parser.add_argument("--no-peaks", action="store_true", help="leave out the peak memory")
    parser.add_argument("--out", type=Path, default=Paths.speed, help="the figures as JSON")
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    keep_freed_memory()
    if given.peak:
        print_peak(*given.peak)
        return
    run(given.only, given.repeats, given.seconds, not given.no_peaks, given.out)


if __name__ == "__main__":
    main()
