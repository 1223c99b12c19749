"""RGB heads of MobileStyleGAN: modulated linear maps regressed onto the downsampled full output.

Legend of shape suffixes: N image, C channel, H height, W width, P sampled pixels, D style width.

The head is linear in the features, so that a least-squares solution starts it, and pixels are
independent samples, so that it trains on cached features without running the generator again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from dualstylegan.networks.mobilestylegan import HEAD_SIZES, MobileStyleGAN, RgbHead

HELD_OUT_SHARE = 0.125
TRUNCATIONS = (1.0, 0.7)
RIDGE = 1e-4


@dataclass(frozen=True)
class PixelSamples:
    """Features, styles and colours of sampled pixels of N images for one head."""

    features_NPC: Tensor
    colors_NP3: Tensor
    style_ND: Tensor


@torch.no_grad()
def sample_pixels(
    generator: MobileStyleGAN,
    images: int,
    pixels: int,
    draw: torch.Generator,
    progress: Callable[[int], None],
) -> dict[int, PixelSamples]:
    """Render `images` faces at full size and keep `pixels` of each one's features and colours."""
    rows: dict[int, list[tuple[Tensor, Tensor, Tensor]]] = {size: [] for size in HEAD_SIZES}
    for index in range(images):
        z = torch.randn(2, generator.style_dim, generator=draw)
        w = generator.truncate(generator.map(z), TRUNCATIONS[index % len(TRUNCATIONS)])
        crossover = int(torch.randint(1, 2 * generator.rows, (), generator=draw))
        w_NLD = generator.mix(w[:1], w[1:], crossover)
        image = generator.synthesise(w_NLD).clamp(-1, 1)
        for size, maps in generator.features(w_NLD):
            if size not in HEAD_SIZES:
                continue
            features = maps[0].flatten(1)
            colors = F.adaptive_avg_pool2d(image, size)[0].flatten(1)
            kept = torch.randperm(size * size, generator=draw)[:pixels]
            style = w_NLD[0, 2 * generator.sizes.index(size) + 3]
            rows[size].append((features[:, kept].T, colors[:, kept].T, style))
        progress(index + 1)
    stacked = {
        size: [torch.stack(part) for part in zip(*row, strict=True)] for size, row in rows.items()
    }
    return {size: PixelSamples(*parts) for size, parts in stacked.items()}


@torch.no_grad()
def solve_linear(head: RgbHead, samples: PixelSamples) -> None:
    """Ridge regression of the colours on the features, with modulation one."""
    x = samples.features_NPC.flatten(0, 1).double()
    y = samples.colors_NP3.flatten(0, 1).double()
    x = torch.cat((x, torch.ones(len(x), 1, dtype=x.dtype)), 1)
    gram = x.T @ x
    gram.diagonal().add_(RIDGE * gram.diagonal().mean())
    solution = torch.linalg.solve(gram, x.T @ y).float()
    head.weight.copy_(solution[:-1].T[:, :, None, None])
    head.bias.copy_(solution[-1])


def predict(head: RgbHead, features_NPC: Tensor, style_ND: Tensor) -> Tensor:
    """Colours (N, P, 3) of sampled pixels."""
    modulated = features_NPC * head.modulation(style_ND)[:, None]
    return F.linear(modulated, head.weight[:, :, 0, 0], head.bias)


def psnr(predicted: Tensor, target: Tensor) -> float:
    """Mean peak signal-to-noise ratio over images in dB, for colours in [-1, 1]."""
    error = (predicted.clamp(-1, 1) - target).square().mean((1, 2))
    return float((10 * torch.log10(4 / error)).mean())


def fit_head(
    head: RgbHead, samples: PixelSamples, steps: int, lr: float, draw: torch.Generator
) -> float:
    """Train one head by Adam from the least-squares start; returns the held-out PSNR in dB."""
    held_out = math.ceil(HELD_OUT_SHARE * len(samples.style_ND))
    features, colors, styles = samples.features_NPC, samples.colors_NP3, samples.style_ND
    train = PixelSamples(features[held_out:], colors[held_out:], styles[held_out:])
    solve_linear(head, train)
    head.requires_grad_(True)
    # The weights act on features of any scale; the modulation's are spread over D inputs.
    groups = [
        {"params": [head.weight, head.bias], "lr": lr},
        {"params": list(head.modulation.parameters()), "lr": lr / 10},
    ]
    optimiser = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    pixels = features.shape[1]
    for _ in range(steps):
        images = torch.randperm(len(train.style_ND), generator=draw)[:32]
        start = int(torch.randint(0, max(1, pixels - 256), (), generator=draw))
        window = slice(start, start + 256)
        predicted = predict(head, train.features_NPC[images, window], train.style_ND[images])
        loss = F.mse_loss(predicted, train.colors_NP3[images, window])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    head.requires_grad_(False)
    with torch.no_grad():
        return psnr(predict(head, features[:held_out], styles[:held_out]), colors[:held_out])
