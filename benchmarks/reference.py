"""The published formulation of StyleGAN2's layers on our weights: what our speed is measured by.

Legend of shape suffixes: N image, C channel (I in, O out), H height, W width, K kernel, D style.

A modulated convolution makes a weight for each image and convolves in groups; filters run channel
by channel over padded or zero-filled maps; noise, bias, slope and gain are passes of their own;
VGG goes to its last layer whatever is asked of it; the contextual loss forms whole matrices. The
results are the same, which tests hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualstylegan.codes import refinement
from dualstylegan.finetuning import style
from dualstylegan.networks import discriminator, layers
from dualstylegan.networks.discriminator import DEVIATION_EPS, STDDEV_GROUP
from dualstylegan.networks.extrinsic import AdaIN
from dualstylegan.networks.layers import (
    LRELU_GAIN,
    LRELU_SLOPE,
    Blur,
    ConvLayer,
    EqualConv2d,
    FirUpsample,
    ModulatedConv2d,
    upcast,
)
from dualstylegan.networks.masks import Mask
from dualstylegan.networks.stylegan2 import StyledConv
from dualstylegan.networks.vgg import VGG16
from dualstylegan.networks.vgg19 import TAPS, VGG19


def filtered(x_NCHW: Tensor, kernel_KK: Tensor, padding: tuple[int, int]) -> Tensor:
    """Each channel of each image as an image of its own, padded, then filtered."""
    n, c, height, width = x_NCHW.shape
    before, after = padding
    alone = F.pad(x_NCHW.reshape(n * c, 1, height, width), (before, after, before, after))
    found = F.conv2d(alone, kernel_KK.flip(0, 1)[None, None].to(x_NCHW.dtype))
    return found.reshape(n, c, *found.shape[-2:])


def modulated(self: ModulatedConv2d, x_NIHW: Tensor, w_ND: Tensor) -> Tensor:
    """Equations 1 to 3 of StyleGAN2 as written: scale the weight, normalise it, convolve."""
    x_NIHW = x_NIHW.contiguous()
    self.weight.data = self.weight.data.contiguous()  # a copy the first time only
    n, i, height, width = x_NIHW.shape
    style_NI = self.modulation(w_ND)
    weight_NOIKK = self.scale * self.weight * style_NI[:, None, :, None, None]
    if self.demodulate:
        energy_NO = weight_NOIKK.square().sum((2, 3, 4))
        weight_NOIKK = weight_NOIKK * torch.rsqrt(energy_NO + 1e-8)[:, :, None, None, None]
    weight_NOIKK = weight_NOIKK.to(x_NIHW.dtype)
    o, kernel = weight_NOIKK.shape[1], weight_NOIKK.shape[-1]
    grouped = x_NIHW.reshape(1, n * i, height, width)
    if self.blur is None:
        weight = weight_NOIKK.reshape(n * o, i, kernel, kernel)
        found = F.conv2d(grouped, weight, padding=self.padding, groups=n)
        return found.reshape(n, o, height, width)
    weight = weight_NOIKK.transpose(1, 2).reshape(n * i, o, kernel, kernel)
    found = F.conv_transpose2d(grouped, weight, stride=2, groups=n)
    result: Tensor = self.blur(found.reshape(n, o, *found.shape[-2:]))
    return result


def blurred(self: Blur, x_NCHW: Tensor) -> Tensor:
    """The low-pass filter, channel by channel."""
    return filtered(x_NCHW, self.kernel, self.padding)


def upsampled(self: FirUpsample, x_NCHW: Tensor) -> Tensor:
    """Zeros between the pixels, then the filter."""
    n, c, height, width = x_NCHW.shape
    spread = x_NCHW.new_zeros(n, c, height, 2, width, 2)
    spread[:, :, :, 0, :, 0] = x_NCHW
    return filtered(spread.reshape(n, c, 2 * height, 2 * width), self.kernel, (2, 1))


def styled(self: StyledConv, x: Tensor, w_ND: Tensor, noise: Tensor) -> Tensor:
    """Convolution, noise, bias and activation one after the other."""
    result: Tensor = self.activate(self.noise(self.conv(x, w_ND), noise))
    return result


def layered(self: ConvLayer, x: Tensor) -> Tensor:
    """Layer by layer."""
    x = x.contiguous()
    for layer in self:
        x = layer(x)
    return x


def convolved(self: EqualConv2d, x: Tensor) -> Tensor:
    """The weight scaled, then the convolution."""
    weight = (self.weight * self.scale).to(x.dtype)
    return F.conv2d(x, weight, self.bias, stride=self.stride, padding=self.padding)


def activated(x: Tensor) -> Tensor:
    """Leaky ReLU, then the gain."""
    return F.leaky_relu(x, LRELU_SLOPE) * LRELU_GAIN


def deviating(x_NCHW: Tensor, group: int = STDDEV_GROUP) -> Tensor:
    """The minibatch deviation computed of groups of any size, one image as well."""
    n, c, h, w = x_NCHW.shape
    size = max(g for g in range(1, min(group, n) + 1) if n % g == 0)
    variance = x_NCHW.view(size, n // size, c, h, w).var(0, unbiased=False)
    deviation = (variance + DEVIATION_EPS).sqrt().mean((1, 2, 3))
    return torch.cat((x_NCHW, deviation.repeat(size).view(n, 1, 1, 1).expand(-1, 1, h, w)), 1)


def instance_normed(self: AdaIN, x_NCHW: Tensor, style_ND: Tensor) -> Tensor:
    """Normalise, then scale and shift."""
    gamma, beta = self.style(style_ND)[:, :, None, None].chunk(2, 1)
    result: Tensor = (gamma * F.instance_norm(upcast(x_NCHW)) + beta).to(x_NCHW.dtype)
    return result


def all_of_vgg19(self: VGG19, image_NCHW: Tensor, taps: tuple[str, ...] = TAPS) -> list[Tensor]:
    """Every layer, whichever taps are asked for."""
    found = {}
    x = (image_NCHW - self.shift) / self.spread
    for index, layer in enumerate(self.features):
        x = layer(x)
        if index in self.tapped:
            found[self.tapped[index]] = x
    return [found[tap] for tap in taps]


def all_of_vgg16(self: VGG16, image_NCHW: Tensor, stages: int = 5) -> list[Tensor]:
    """Every layer, however many stages are asked for."""
    maps = []
    x = (image_NCHW - self.shift) / self.scale
    for index, stage in enumerate(self.stages):
        x = F.max_pool2d(x, 2) if index else x
        assert isinstance(stage, nn.ModuleList)
        for conv in stage:
            x = F.relu(conv(x))
        maps.append(x)
    return maps[:stages]


def whole_contextual(
    x_NCHW: Tensor, y_NCHW: Tensor, bandwidth: float = 0.2, *, mask_N1HW: Mask = None
) -> Tensor:
    """L_CX as written: distances, relative distances, affinities, the best of each y."""
    assert mask_N1HW is None, "the published form knows no mask"
    center = y_NCHW.mean((2, 3), keepdim=True)
    x_NCP, y_NCP = (F.normalize(f - center, dim=1).flatten(2) for f in (x_NCHW, y_NCHW))
    distance_NPQ = 1 - x_NCP.transpose(1, 2) @ y_NCP
    relative_NPQ = distance_NPQ / (distance_NPQ.amin(2, keepdim=True) + 1e-5)
    weight_NPQ = torch.exp((1 - relative_NPQ) / bandwidth)
    affinity_NPQ = weight_NPQ / weight_NPQ.sum(2, keepdim=True)
    return -torch.log(affinity_NPQ.amax(1).mean(1) + 1e-5)


PUBLISHED = (
    (ModulatedConv2d, "forward", modulated),
    (Blur, "forward", blurred),
    (FirUpsample, "forward", upsampled),
    (StyledConv, "forward", styled),
    (ConvLayer, "forward", layered),
    (EqualConv2d, "forward", convolved),
    (AdaIN, "forward", instance_normed),
    (layers, "leaky_relu_scaled", activated),
    (discriminator, "minibatch_stddev", deviating),
    (VGG19, "forward", all_of_vgg19),
    (VGG16, "forward", all_of_vgg16),
    (style, "contextual", whole_contextual),
    (refinement, "contextual", whole_contextual),
)


@contextmanager
def published_formulation() -> Iterator[None]:
    """For a while every layer and loss computes as published."""
    ours = [(owner, name, getattr(owner, name)) for owner, name, _ in PUBLISHED]
    for owner, name, theirs in PUBLISHED:
        setattr(owner, name, theirs)
    try:
        yield
    finally:
        for owner, name, own in ours:
            setattr(owner, name, own)
