"""A real step of every stage of the published schedule at 1024 px: seconds and peak memory.

    python benchmarks/paper_1024.py [--batch 1] [--passes 1] [--device cpu]

Random weights of the published sizes; one process a stage, so that each peak is its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from dualstylegan.codes.destylization import destylize
from dualstylegan.codes.inversion import OptimizationSchedule
from dualstylegan.codes.refinement import refine
from dualstylegan.finetuning.discriminator import DiscriminatorTrainer
from dualstylegan.finetuning.structure import StructureTraining
from dualstylegan.finetuning.style import StyleTraining
from dualstylegan.networks.discriminator import Discriminator
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.ir_se50 import IRSE50
from dualstylegan.networks.psp import PublishedEncoder
from dualstylegan.networks.stylegan2 import StyleGAN2
from dualstylegan.networks.vgg19 import STAGE_2_WEIGHTS, VGG19
from dualstylegan.published import schedule
from dualstylegan.published.networks import PublishedIdentity, PublishedPerceptual

SIZE = 1024
STEPS = 2


def frozen(network: nn.Module, device: str) -> Any:
    """The network in evaluation mode on the device."""
    return network.eval().requires_grad_(False).to(device)


def stage_2(batch: int, passes: int, device: str) -> None:
    """Structure transfer."""
    training = StructureTraining(
        frozen(DualStyleGAN(StyleGAN2(SIZE)), device),
        frozen(PublishedEncoder(18), device),
        DiscriminatorTrainer(Discriminator(SIZE).to(device), schedule.STRUCTURE_DISCRIMINATOR),
        frozen(PublishedPerceptual(VGG19(), STAGE_2_WEIGHTS), device),
        SIZE,
        schedule.structure_plan(batch),
    )
    steps(training.step)


def stage_3(batch: int, passes: int, device: str) -> None:
    """Style transfer."""
    portraits = torch.randn(4, 3, SIZE, SIZE, device=device)
    training = StyleTraining(
        frozen(DualStyleGAN(StyleGAN2(SIZE)), device),
        DiscriminatorTrainer(Discriminator(SIZE).to(device), schedule.DISCRIMINATOR),
        frozen(PublishedPerceptual(VGG19(), STAGE_2_WEIGHTS), device),
        frozen(PublishedIdentity(IRSE50()), device),
        lambda index: portraits[index],
        torch.randn(4, 18, 512, device=device),
        torch.randn(4, 18, 512, device=device),
        SIZE,
        schedule.style_plan("cartoon", batch, passes),
    )
    steps(training.step)


def destylization(batch: int, passes: int, device: str) -> None:
    """Latent optimisation with noise maps, then the natural face."""
    generator = frozen(StyleGAN2(SIZE), device)
    started = time.perf_counter()
    destylize(
        generator, generator, frozen(PublishedEncoder(18), device),
        frozen(PublishedPerceptual(VGG19(), STAGE_2_WEIGHTS), device),
        frozen(PublishedIdentity(IRSE50()), device),
        torch.randn(batch, 3, SIZE, SIZE, device=device),
        torch.randn(batch, 18, 512, device=device),
        OptimizationSchedule(steps=STEPS), size=SIZE, rate=schedule.DESTYLIZATION_RATE,
    )  # fmt: skip
    print(f"  {STEPS} steps, 1 look, step 3: {time.perf_counter() - started:.1f} s")


def refinement(batch: int, passes: int, device: str) -> None:
    """Extrinsic codes."""
    network = frozen(DualStyleGAN(StyleGAN2(SIZE)), device)
    codes = torch.randn(2, batch, 18, 512, device=device)
    started = time.perf_counter()
    refine(
        network, frozen(PublishedPerceptual(VGG19(), STAGE_2_WEIGHTS), device),
        torch.randn(batch, 3, SIZE, SIZE, device=device), codes[0], codes[1],
        OptimizationSchedule(steps=STEPS), structure_rate=schedule.REFINEMENT_STRUCTURE_RATE,
        color_rate=0.01,
    )  # fmt: skip
    print(f"  {STEPS} steps, 1 look: {time.perf_counter() - started:.1f} s")


def steps(step: Callable[[int, torch.Generator], dict[str, torch.Tensor]]) -> None:
    """Run the first steps and print each one's seconds; the first has R1 and path length."""
    for number in range(STEPS):
        started = time.perf_counter()
        scalars = step(number, torch.Generator().manual_seed(number))
        assert all(bool(value.isfinite()) for value in scalars.values())
        print(f"  step {number}: {time.perf_counter() - started:.1f} s", flush=True)


def measured(stage: Callable[[int, int, str], None], batch: int, passes: int, device: str) -> None:
    """Run one stage and print its peak."""
    stage(batch, passes, device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"  peak: {peak:.1f} GiB of memory", flush=True)
    if device == "cuda":
        print(f"  peak: {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB on the GPU", flush=True)


def main() -> None:
    """Run every stage in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=1, help="images a pass")
    parser.add_argument("--passes", type=int, default=1, help="passes a step")
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    for stage in (stage_2, stage_3, destylization, refinement):
        print(f"{stage.__name__}: {stage.__doc__}", flush=True)
        process = spawn.Process(
            target=measured, args=(stage, given.batch, given.passes, given.device)
        )
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(f"{stage.__name__} ended with code {process.exitcode}")


if __name__ == "__main__":
    main()
