"""Measures of the base models: heads in dB, the encoder against optimisation, stage 2.

Legend of shape suffixes: N image, L row, D style width, C channel, H height, W width.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualstylegan.codes.inversion import OptimizationSchedule, encode, invert
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.generator import Generator, Space
from dualstylegan.networks.identity import DlibFaceRecognition, similarity
from dualstylegan.networks.mobilestylegan import HEAD_SIZES, MobileStyleGAN
from dualstylegan.networks.vgg import PerceptualNetwork
from tasks.shared.floor import REPEATS, matrix_rate, operations, seconds

Figures = dict[str, float]
CROSSOVERS = (7, 6, 5)
ENCODED_PX = 256
MEAN_RATE, EXTRA_RATE, PIXEL_WEIGHT = 0.05, 0.1, 0.2


@torch.no_grad()
def head_decibels(generator: MobileStyleGAN, w_NLD: Tensor) -> Figures:
    """Return the mean PSNR in dB per head against the full output averaged down, in [-1, 1]."""
    found: dict[int, list[Tensor]] = {size: [] for size in HEAD_SIZES}
    for w_LD in w_NLD:
        full = generator.synthesise(w_LD[None]).clamp(-1, 1)
        for size in HEAD_SIZES:
            wanted = F.adaptive_avg_pool2d(full, size)
            error = (generator.synthesise(w_LD[None], size=size).clamp(-1, 1) - wanted).square()
            found[size].append(10 * torch.log10(4 / error.mean()))
    return {f"{size} px": float(torch.stack(values).mean()) for size, values in found.items()}


@dataclass(frozen=True)
class Judge:
    """LPIPS and identity similarity of two batches of faces."""

    lpips: PerceptualNetwork
    identity: DlibFaceRecognition

    @torch.no_grad()
    def each(self, found_NCHW: Tensor, wanted_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return LPIPS (N,) and identity similarity (N,); dlib's limit for one person is 0.5."""
        people = similarity(self.identity(found_NCHW), self.identity(wanted_NCHW))
        distance: Tensor = self.lpips(found_NCHW, wanted_NCHW)
        return distance, people

    def __call__(self, found_NCHW: Tensor, wanted_NCHW: Tensor) -> Figures:
        """Return the means over the images."""
        distance, people = self.each(found_NCHW, wanted_NCHW)
        return {"lpips": float(distance.mean()), "identity": float(people.mean())}


@dataclass(frozen=True)
class Reconstruction:
    """Images of an inversion method and its measures: means, and seconds per image."""

    image_NCHW: Tensor
    figures: Figures


def reconstructions(
    generator: Generator,
    encoder: nn.Module,
    judge: Judge,
    image_NCHW: Tensor,
    optimise_steps: int,
    extra_steps: int,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> dict[str, Reconstruction]:
    """Compare the encoder with (a) the mean face, (b) optimisation from it, (c) both combined.

    Args:
        image_NCHW: aligned faces of a size that the generator renders, in [-1, 1].
        progress: called with an optimisation's name, finished steps and all steps.

    Returns:
        Reconstructions by the method's name; (b) in W and in W+, the latter of which can fit
        images that are no faces.
    """
    size = image_NCHW.shape[-1]

    def descent(start: Tensor, steps: int, space: Space, rate: float) -> Tensor:
        found = invert(
            generator,
            judge.lpips,
            image_NCHW,
            start,
            OptimizationSchedule(steps),
            space=space,
            rate=rate,
            pixel_weight=PIXEL_WEIGHT,
            progress=lambda done: progress(f"steps in {space}", done, steps),
        )
        return generator.to_w_plus(found.latents[0], space)

    mean_ND = generator.mean_w.expand(len(image_NCHW), -1).contiguous()
    mean = generator.to_w_plus(mean_ND, "w").contiguous()
    steps = f"mean, {optimise_steps} steps"
    methods: dict[str, Callable[[], Tensor]] = {
        "mean": lambda: mean,
        f"{steps} in W": lambda: descent(mean_ND, optimise_steps, "w", MEAN_RATE),
        f"{steps} in W+": lambda: descent(mean, optimise_steps, "w_plus", MEAN_RATE),
        "encoder": lambda: generator.map(encode(encoder, image_NCHW)),
        f"encoder, {extra_steps} steps": lambda: descent(
            encode(encoder, image_NCHW), extra_steps, "z_plus", EXTRA_RATE
        ),
    }
    table = {}
    for name, method in methods.items():
        started = time.perf_counter()
        w_NLD = method()
        passed = (time.perf_counter() - started) / len(image_NCHW)
        with torch.no_grad():
            image = generator.synthesise(w_NLD, size=size)
        table[name] = Reconstruction(image, {**judge(image, image_NCHW), "seconds": passed})
    return table


@torch.no_grad()
def encoder_figures(
    generator: Generator, encoder: nn.Module, judge: Judge, image_NCHW: Tensor
) -> Figures:
    """Return LPIPS and identity similarity of g(E(I))."""
    again = generator(encode(encoder, image_NCHW), "z_plus", size=image_NCHW.shape[-1])
    return judge(again, image_NCHW)


@torch.no_grad()
def generator_throughput(generator: Generator, size: int, batch: int) -> Figures:
    """Measure images per second of the generator, and the share of the device's floor."""
    device = generator.mean_w.device
    z = torch.randn(batch, generator.style_dim, generator=torch.Generator().manual_seed(0))
    z = z.to(device)

    def work() -> Tensor:
        image: Tensor = generator(z, "z", size=size)
        return image

    rate = batch / seconds(work, device)
    work_per_image = operations(work) / batch
    floor = matrix_rate(device, generator.compute_dtype) / work_per_image
    return {
        "images a second": rate,
        "GFLOP an image": work_per_image / 1e9,
        "images a second at the floor": floor,
        "share of the floor": rate / floor,
    }


@torch.no_grad()
def encoder_cost(encoder: nn.Module) -> Figures:
    """Measure CPU time of E on one image of 256 px, and its size; E must be on the CPU."""
    image = torch.zeros(1, 3, ENCODED_PX, ENCODED_PX)
    encoder(image)
    started = time.process_time()
    for _ in range(REPEATS):
        encoder(image)
    passed = (time.process_time() - started) / REPEATS
    weights = sum(parameter.numel() for parameter in encoder.parameters())
    return {"CPU milliseconds": 1000 * passed, "million weights": weights / 1e6}


def row_norms(code_NLD: Tensor) -> Figures:
    """Return mean and spread of the rows' root mean square; a standard normal row has 1."""
    rms = code_NLD.square().mean(-1).sqrt()
    return {"mean": float(rms.mean()), "spread": float(rms.std())}


@torch.no_grad()
def structure_figures(
    network: DualStyleGAN, judge: Judge, first_NLD: Tensor, second_NLD: Tensor, size: int
) -> dict[str, Figures]:
    """Compare G(z1, f(z2), 1) with g(z_l+), for each l."""
    g = network.generator
    found = network(first_NLD, second_NLD, space="w_plus", size=size)
    table = {}
    for crossover in CROSSOVERS:
        wanted = g.synthesise(g.mix(first_NLD, second_NLD, crossover), size=size)
        table[f"l = {crossover}"] = judge(found, wanted)
    return table
