"""Speed beside the published formulation and the device's floor: one command, one table.

    python -m benchmarks.speed [--size 256] [--repeats 3] [--only NAME ...]

Both sides have the same weights and inputs and take turns in one process; times are medians. The
reference is plain: weights for each image, filters channel by channel, all weights with gradients,
targets computed anew in each step, float32. CPU-seconds are those of all threads.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.reference import published_formulation
from dualstylegan.allocator import keep_freed_memory
from dualstylegan.finetuning.adversary import Adversary, AdversaryPlan
from dualstylegan.finetuning.style import StyleTraining
from dualstylegan.floor import bandwidth, matrix_rate, operations
from dualstylegan.losses import contextual
from dualstylegan.networks.discriminator import Discriminator
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.ir_se50 import IRSE50
from dualstylegan.networks.stylegan2 import StyleGAN2
from dualstylegan.networks.vgg import LPIPS
from dualstylegan.networks.vgg19 import STAGE_2_WEIGHTS, VGG19
from dualstylegan.published import schedule
from dualstylegan.published.networks import PublishedIdentity, PublishedPerceptual

STYLE_DIM = 512
Work = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One line of the table: our work and the reference's."""

    name: str
    ours: Work
    reference: Work


@dataclass(frozen=True)
class Taken:
    """Medians of wall and CPU seconds."""

    wall: float
    cpu: float


def take_turns(row: Row, repeats: int) -> tuple[Taken, Taken]:
    """Run both sides in turns after one run each that does not count."""
    times: tuple[list[tuple[float, float]], ...] = ([], [])
    for index in range(repeats + 1):
        for side, work in enumerate((row.ours, row.reference)):
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            passed = time.perf_counter() - wall, time.process_time() - cpu
            if index:
                times[side].append(passed)
    ours, theirs = (Taken(median(w for w, _ in side), median(c for _, c in side)) for side in times)
    return ours, theirs


def plain(work: Work) -> Work:
    """The work in the published formulation."""

    def run() -> object:
        with published_formulation():
            return work()

    return run


def frozen(network: nn.Module, dtype: torch.dtype = torch.float32) -> Any:
    """Without gradients, its convolutions in `dtype`."""
    network.eval().requires_grad_(False)
    for module in network.modules():
        if hasattr(module, "compute_dtype"):
            module.compute_dtype = dtype
    return network


def twins(build: Callable[[], nn.Module]) -> tuple[Any, Any]:
    """The same network twice: frozen in bfloat16 as ours, with gradients in float32 as theirs."""
    torch.manual_seed(0)
    ours = frozen(build(), torch.bfloat16)
    torch.manual_seed(0)
    theirs = frozen(build())
    return ours, theirs.requires_grad_(True)


def forward_rows(size: int) -> list[Row]:
    """A picture from codes, alone and in a batch."""
    generator, _ = twins(lambda: StyleGAN2(size))
    exact = frozen(StyleGAN2(size))
    exact.load_state_dict(generator.state_dict())
    rows = []
    for batch in (1, 8):
        w_NLD = torch.randn(batch, exact.rows, STYLE_DIM)

        def render(network: Any, w_NLD: Tensor = w_NLD) -> Tensor:
            with torch.no_grad():
                image: Tensor = network.synthesise(w_NLD)
            return image

        reference = plain(lambda render=render: render(exact))
        rows += [
            Row(f"forward {size} px, batch {batch}, float32", lambda r=render: r(exact), reference),
            Row(
                f"forward {size} px, batch {batch}, bfloat16",
                lambda r=render: r(generator),
                reference,
            ),
        ]
    return rows


def latent_rows(size: int) -> list[Row]:
    """A step of latent optimisation: LPIPS of a rendered code to a picture, and its gradient."""
    ours, theirs = twins(lambda: StyleGAN2(size))
    lpips, plain_lpips = twins(LPIPS)
    plain_lpips.requires_grad_(False)
    image = torch.rand(1, 3, size, size) * 2 - 1
    w_NLD = torch.randn(1, ours.rows, STYLE_DIM)
    with torch.no_grad():
        target = lpips.features(image)

    def fast() -> None:
        code = w_NLD.clone().requires_grad_(True)
        lpips.distance(lpips.features(ours.synthesise(code)), target).sum().backward()

    def slow() -> None:
        code = w_NLD.clone().requires_grad_(True)
        found = theirs.synthesise(code)
        plain_lpips(found, image).sum().backward()
        theirs.zero_grad(set_to_none=True)

    return [Row(f"latent optimisation step, {size} px", fast, plain(slow))]


def style_training(size: int, dtype: torch.dtype, batch: int) -> StyleTraining:
    """Stage 3 in the published layout at `size` pixels."""
    torch.manual_seed(0)
    network = frozen(DualStyleGAN(StyleGAN2(size)), dtype)
    discriminator = Discriminator(size)
    discriminator.compute_dtype = dtype
    perceptual = frozen(PublishedPerceptual(VGG19(), STAGE_2_WEIGHTS), dtype)
    portraits = torch.rand(4, 3, size, size) * 2 - 1
    rows = network.generator.rows
    return StyleTraining(
        network,
        Adversary(discriminator, AdversaryPlan(augment=0.0)),
        perceptual,
        frozen(PublishedIdentity(IRSE50())),
        lambda index: portraits[index],
        torch.randn(4, rows, STYLE_DIM),
        torch.randn(4, rows, STYLE_DIM),
        size,
        schedule.style_plan("cartoon", batch, 1),
    )


def style_rows(size: int) -> list[Row]:
    """Four steps of stage 3: one with R1 and path length, one with path length, two plain."""
    ours = style_training(size, torch.bfloat16, 1)
    theirs = style_training(size, torch.float32, 1)
    theirs.network.generator.requires_grad_(True)

    def steps(training: StyleTraining) -> Work:
        def run() -> None:
            for step in (0, 4, 1, 2):
                training.step(step, torch.Generator().manual_seed(step))

        return run

    return [Row(f"stage 3, four steps, {size} px", steps(ours), plain(steps(theirs)))]


def contextual_rows(size: int) -> list[Row]:
    """The contextual loss on VGG's third stage, in blocks of positions and whole."""
    side = size // 4
    features = torch.randn(2, 1, 256, side, side)

    def loss(block: int) -> Work:
        def run() -> None:
            x = features[0].clone().requires_grad_(True)
            contextual(x, features[1], block=block).sum().backward()

        return run

    return [Row(f"contextual loss, {side}^2 positions", loss(1024), loss(side**2))]


GROUPS: dict[str, Callable[[int], list[Row]]] = {
    "forward": forward_rows,
    "latent": latent_rows,
    "style": style_rows,
    "contextual": contextual_rows,
}


def table(names: Sequence[str], size: int, repeats: int) -> None:
    """Print the table."""
    device = torch.device("cpu")
    rates = {dtype: matrix_rate(device, dtype) for dtype in (torch.float32, torch.bfloat16)}
    print(f"matrix rate: {rates[torch.float32] / 1e9:.0f} GFLOP/s in float32, ", end="")
    print(f"{rates[torch.bfloat16] / 1e9:.0f} in bfloat16; {bandwidth(device) / 1e9:.1f} GB/s")
    print(f"{'':42} {'GFLOP':>7} {'floor':>8} {'ours':>8} {'theirs':>8} {'wall':>6} {'CPU':>6}")
    for name in names:
        for row in GROUPS[name](size):
            work = operations(row.ours)
            floor = work / rates[torch.float32 if "float32" in row.name else torch.bfloat16]
            ours, theirs = take_turns(row, repeats)
            print(
                f"{row.name:42} {work / 1e9:7.1f} {floor:7.3f}s {ours.wall:7.3f}s"
                f" {theirs.wall:7.3f}s {theirs.wall / ours.wall:5.2f}x"
                f" {theirs.cpu / ours.cpu:5.2f}x",
                flush=True,
            )


def main() -> None:
    """`python -m benchmarks.speed`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256, help="pixels of the published layout")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=list(GROUPS), default=list(GROUPS))
    given = parser.parse_args()
    keep_freed_memory()
    table(given.only, given.size, given.repeats)


if __name__ == "__main__":
    main()
