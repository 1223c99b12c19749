"""Loss curves of the fast path beside the plain one: speed must not buy another result.

    python -m benchmarks.curves [--steps 30] [--size 128] [--batch 2]

Fast: as the main job runs, bfloat16 maps. Plain: the published formulation in float32. Beside them
our own formulation in float32, which differs from the plain one by the order of sums alone: Adam
makes steps of one size of whatever gradient, so that two such runs part as well. The embedded
networks, the same seed, codes, draws and portraits (faces that the generator makes). What is
printed of each curve is the mean difference of the two over the mean of the plain one.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.reference import published_formulation
from dualstylegan.allocator import keep_freed_memory
from dualstylegan.finetuning.adversary import Adversary, AdversaryPlan
from dualstylegan.finetuning.style import StylePlan, StyleTraining
from dualstylegan.finetuning.trainer import Training
from dualstylegan.inversion import Descending, DescentPlan
from dualstylegan.models import EmbeddedNetworks
from dualstylegan.refinement import reconstruction
from dualstylegan.settings import load
from tasks.training import chosen_plan

WEIGHTS = Path("data/weights")
BASE = Path("data/base")
PORTRAITS = 4
STEP_SEED = 1_000_003
# Largest mean difference of a curve, as a share of the plain one's mean; or of what the order of
# sums alone makes of it.
TOLERANCE, BESIDE_ROUNDING = 0.05, 2.0

Curves = dict[str, list[float]]


def precise(networks: Sequence[torch.nn.Module], fast: bool) -> None:
    """Put the feature maps of networks in bfloat16, or leave them in float32."""
    for network in networks:
        for module in network.modules():
            if hasattr(module, "compute_dtype"):
                setattr(module, "compute_dtype", torch.bfloat16 if fast else torch.float32)  # noqa: B010


def training_curves(training: Training, steps: int) -> Curves:
    """Every scalar of every step."""
    curves: Curves = {}
    for step in range(steps):
        draw = torch.Generator().manual_seed(STEP_SEED + step)
        for name, value in training.step(step, draw).items():
            curves.setdefault(name, []).append(float(value))
    return curves


def deviations(fast: Mapping[str, Sequence[float]], plain: Curves) -> dict[str, float]:
    """Mean difference of each pair of curves over the mean size of the plain one."""
    found = {}
    for name, values in plain.items():
        gaps = [abs(a - b) for a, b in zip(fast[name], values, strict=True)]
        found[name] = sum(gaps) / max(sum(map(abs, values)), 1e-12)
    return found


def embedded(fast: bool, size: int, batch: int) -> tuple[StyleTraining, Tensor]:
    """Stage 3 on the embedded networks as the main job runs it, and its portraits."""
    networks = EmbeddedNetworks(WEIGHTS, BASE)
    network, discriminator = networks.dualstylegan(), networks.discriminator()
    perceptual, identity = networks.perceptual(), networks.identity()
    generator = network.generator
    draw = torch.Generator().manual_seed(0)
    codes = torch.randn(2, PORTRAITS, generator.rows, generator.style_dim, generator=draw)
    z = torch.randn(PORTRAITS, generator.style_dim, generator=draw)
    with torch.no_grad():
        portraits = generator(z, truncation=0.7, size=size).clamp(-1, 1)
    precise((network, discriminator, perceptual, identity), fast)
    plan: StylePlan = chosen_plan(StylePlan, load().finetune.model_copy(update={"batch": batch}))
    training = StyleTraining(
        network,
        Adversary(discriminator, AdversaryPlan()),
        perceptual,
        identity,
        lambda index: portraits[index],
        codes[0],
        codes[1],
        size,
        plan,
    )
    return training, portraits


def stage_3(fast: bool, steps: int, size: int, batch: int) -> Curves:
    """Stage 3 of the main job."""
    return training_curves(embedded(fast, size, batch)[0], steps)


def refinement(fast: bool, steps: int, size: int, batch: int) -> Curves:
    """Refinement of one exemplar's code."""
    training, portraits = embedded(fast, size, batch)
    training.network.requires_grad_(False)
    code, rows = training.intrinsic_NLD[:1], training.generator.structure_rows
    perceptual = training.perceptual
    objective = reconstruction(training.network, perceptual, portraits[:1], code)
    losses: list[float] = []

    def noted(latents: Sequence[Tensor]) -> Tensor:
        loss = objective(latents)
        losses.append(float(loss))
        return loss

    parts = [code[:, :rows], code[:, rows:]]
    state = Descending(parts, [0.005, 0.05], noted, DescentPlan(steps))
    for _ in range(steps):
        state.advance()
    return {"refinement": losses}


def main() -> None:
    """`python -m benchmarks.curves`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--size", type=int, default=128, help="working size in pixels")
    parser.add_argument("--batch", type=int, default=2)
    given = parser.parse_args()
    keep_freed_memory()
    beyond = []
    for curves in (refinement, stage_3):
        size = given.steps, given.size, given.batch
        fast, ours = curves(True, *size), curves(False, *size)
        with published_formulation():
            plain = curves(False, *size)
        rounding = deviations(ours, plain)
        for name, share in deviations(fast, plain).items():
            ends = f"{plain[name][0]:9.4f} {plain[name][-1]:9.4f} {fast[name][-1]:9.4f}"
            print(f"{name:24} {ends}  apart {share:7.2%}, by rounding {rounding[name]:7.2%}")
            if share > max(TOLERANCE, BESIDE_ROUNDING * rounding[name]):
                beyond.append(name)
    print("within tolerance" if not beyond else f"beyond tolerance: {', '.join(beyond)}")
    raise SystemExit(bool(beyond))


if __name__ == "__main__":
    main()
