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

from dualstylegan.codes.inversion import OptimizationSchedule, encode_in_passes, invert
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.facenet import FaceNet, cosine
from dualstylegan.networks.generator import Generator, Space
from dualstylegan.networks.identity import DlibFaceRecognition, similarity
from dualstylegan.networks.loading import load_facenet
from dualstylegan.networks.mobilestylegan import HEAD_SIZES, MobileStyleGAN
from dualstylegan.networks.vgg import PerceptualNetwork
from tasks.base.common import networks, placed
from tasks.base.settings import BaseSettings
from tasks.shared.floor import REPEATS, matrix_rate, operations, seconds
from tasks.shared.paths import Paths

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
    """LPIPS and two measures of identity of two batches of faces.

    Attributes:
        lpips: frozen.
        identity: dlib's face recognition, which training uses.
        facenet: evaluation only.
    """

    lpips: PerceptualNetwork
    identity: DlibFaceRecognition
    facenet: FaceNet

    @torch.no_grad()
    def each(self, rendering_NCHW: Tensor, face_NCHW: Tensor) -> dict[str, Tensor]:
        """Return LPIPS (N,), dlib's similarity (N,) and FaceNet's cosine (N,).

        For one person dlib's limit is 0.5, FaceNet's 0.64.
        """
        reached, wanted = self.identity(rendering_NCHW), self.identity(face_NCHW)
        faces = self.facenet(rendering_NCHW), self.facenet(face_NCHW)
        return {
            "lpips": self.lpips(rendering_NCHW, face_NCHW),
            "identity": similarity(reached, wanted),
            "facenet": cosine(*faces),
        }

    def __call__(self, rendering_NCHW: Tensor, face_NCHW: Tensor) -> Figures:
        """Return the means over the images."""
        return {k: float(v.mean()) for k, v in self.each(rendering_NCHW, face_NCHW).items()}


def open_judge(settings: BaseSettings) -> Judge:
    """Load the judge's networks onto the device of the settings."""
    loaded = networks()
    return Judge(
        placed(loaded.lpips(), settings),
        placed(loaded.identity(), settings),
        placed(load_facenet(Paths.weights), settings),
    )


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
    passes: int,
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

    def encoded(passes: int) -> Tensor:
        return encode_in_passes(encoder, generator, judge.identity, image_NCHW, passes)

    mean_ND = generator.mean_w.expand(len(image_NCHW), -1).contiguous()
    mean = generator.to_w_plus(mean_ND, "w").contiguous()
    steps = f"mean, {optimise_steps} steps"
    methods: dict[str, Callable[[], Tensor]] = {
        "mean": lambda: mean,
        f"{steps} in W": lambda: descent(mean_ND, optimise_steps, "w", MEAN_RATE),
        f"{steps} in W+": lambda: descent(mean, optimise_steps, "w_plus", MEAN_RATE),
        "encoder": lambda: generator.map(encoded(1)),
        f"encoder, {passes} passes": lambda: generator.map(encoded(passes)),
        f"encoder, {passes} passes, {extra_steps} steps": lambda: descent(
            encoded(passes), extra_steps, "z_plus", EXTRA_RATE
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
    generator: Generator, encoder: nn.Module, judge: Judge, image_NCHW: Tensor, passes: int = 1
) -> Figures:
    """Return the judge's figures of g(E(I)), after some passes of the encoder."""
    code = encode_in_passes(encoder, generator, judge.identity, image_NCHW, passes)
    return judge(generator(code, "z_plus", size=image_NCHW.shape[-1]), image_NCHW)


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
