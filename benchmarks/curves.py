"""Loss curves of the fast path beside the plain one: speed must not buy another result.

    python -m benchmarks.curves [--steps 30] [--batch 2] [--disturbed 3]

Fast: as the main job runs, bfloat16 maps. Plain: the published formulation in float32. Beside them
our own formulation in float32 from weights disturbed by a millionth: Adam makes steps of one size
of whatever gradient, so that two runs that differ by rounding part as well, each time by another
way. The embedded networks, the same seed, codes, draws and portraits (faces that the generator
makes). What is printed of each curve is the mean difference of the two over the mean of the plain
one, and the largest such of the disturbed runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from benchmarks.reference import published_formulation
from dualstylegan.codes.inversion import LatentOptimizer, OptimizationSchedule
from dualstylegan.codes.refinement import reconstruction_objective
from dualstylegan.finetuning.discriminator import DiscriminatorPlan, DiscriminatorTrainer
from dualstylegan.finetuning.style import StylePlan, StyleTraining
from dualstylegan.finetuning.trainer import Training
from dualstylegan.io.allocator import keep_freed_memory
from dualstylegan.networks.loading import DISCRIMINATOR_PX, EmbeddedNetworks
from dualstylegan.networks.precision import dtype_of, set_compute_dtype
from tasks.shared.paths import Paths
from tasks.shared.sets import load
from tasks.shared.training import training_plan

PORTRAITS = 4
STEP_SEED = 1_000_003
# Largest mean difference of a curve, as a share of the plain one's mean; or of what rounding alone
# makes of it.
TOLERANCE, BESIDE_ROUNDING = 0.05, 2.0
DISTURBANCE = 1e-6

Curves = dict[str, list[float]]


def precise(networks: Sequence[torch.nn.Module], fast: bool) -> None:
    """Put the feature maps of networks in bfloat16, or leave them in float32."""
    for network in networks:
        set_compute_dtype(network, dtype_of(fast))


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


@dataclass(frozen=True)
class Setting:
    """Settings of a run: its precision, and the seed that disturbs its weights (0: by none)."""

    steps: int
    batch: int
    fast: bool = False
    seed: int = 0


@torch.no_grad()
def disturb(networks: Sequence[torch.nn.Module], seed: int) -> None:
    """Each weight by a millionth of itself or so."""
    draw = torch.Generator().manual_seed(seed)
    for network in networks:
        for weight in network.parameters():
            weight.mul_(1 + DISTURBANCE * torch.randn(weight.shape, generator=draw))


def embedded(setting: Setting) -> tuple[StyleTraining, Tensor]:
    """Stage 3 on the embedded networks as the main job runs it, and its portraits."""
    networks = EmbeddedNetworks(Paths.weights, Paths.base)
    network, discriminator = networks.dualstylegan(), networks.discriminator()
    perceptual, identity = networks.perceptual(), networks.identity()
    generator = network.generator
    draw = torch.Generator().manual_seed(0)
    codes = torch.randn(2, PORTRAITS, generator.rows, generator.style_dim, generator=draw)
    z = torch.randn(PORTRAITS, generator.style_dim, generator=draw)
    with torch.no_grad():
        portraits = generator(z, truncation=0.7, size=DISCRIMINATOR_PX).clamp(-1, 1)
    if setting.seed:
        disturb((network, discriminator), setting.seed)
    precise((network, discriminator, perceptual, identity), setting.fast)
    chosen = load().finetune.model_copy(update={"batch": setting.batch})
    plan: StylePlan = training_plan(StylePlan, chosen)
    training = StyleTraining(
        network,
        DiscriminatorTrainer(discriminator, DiscriminatorPlan(augment=0.5)),
        perceptual,
        identity,
        lambda index: portraits[index],
        codes[0],
        codes[1],
        DISCRIMINATOR_PX,
        plan,
    )
    return training, portraits


def stage_3(setting: Setting) -> Curves:
    """Stage 3 of the main job."""
    return training_curves(embedded(setting)[0], setting.steps)


def refinement(setting: Setting) -> Curves:
    """Refinement of one exemplar's code."""
    training, portraits = embedded(setting)
    training.network.requires_grad_(False)
    code, rows = training.intrinsic_NLD[:1], training.generator.structure_rows
    perceptual = training.perceptual
    objective = reconstruction_objective(training.network, perceptual, portraits[:1], code)
    losses: list[float] = []

    def noted(latents: Sequence[Tensor]) -> Tensor:
        loss = objective(latents)
        losses.append(float(loss.detach()))
        return loss

    parts = [code[:, :rows], code[:, rows:]]
    state = LatentOptimizer(parts, [0.005, 0.05], noted, OptimizationSchedule(setting.steps))
    for _ in range(setting.steps):
        state.advance()
    return {"refinement": losses}


def main() -> None:
    """`python -m benchmarks.curves`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument(
        "--disturbed", type=int, default=3, help="runs that show what rounding does"
    )
    given = parser.parse_args()
    keep_freed_memory()
    setting = Setting(given.steps, given.batch)
    beyond = []
    for curves in (refinement, stage_3):
        with published_formulation():
            plain = curves(setting)
        fast = curves(replace(setting, fast=True))
        seeds = range(1, given.disturbed + 1)
        others = [deviations(curves(replace(setting, seed=seed)), plain) for seed in seeds]
        for name, share in deviations(fast, plain).items():
            rounding = max(other[name] for other in others)
            ends = f"{plain[name][0]:9.4f} {plain[name][-1]:9.4f} {fast[name][-1]:9.4f}"
            print(f"{name:24} {ends}  apart {share:7.2%}, by rounding {rounding:7.2%}", flush=True)
            if share > max(TOLERANCE, BESIDE_ROUNDING * rounding):
                beyond.append(name)
    print("within tolerance" if not beyond else f"beyond tolerance: {', '.join(beyond)}")
    raise SystemExit(bool(beyond))


if __name__ == "__main__":
    main()
