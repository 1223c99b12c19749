"""Layers of StyleGAN2 (Karras et al., 2020), optimised for CPU and GPU.

Legend of shape suffixes: N image, C channel (I in, O out), H height, W width, K kernel, D style
width.

Every layer computes in the dtype of its input and casts its float32 weights to it; demodulation and
statistics stay in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualstylegan.networks.double_backward import (
    ConvGeometry,
    conv2d,
    conv_transpose2d,
    leaky_relu_,
)
from dualstylegan.networks.weight_cache import derived_tensor

LRELU_SLOPE = 0.2
LRELU_GAIN = math.sqrt(2.0)
FIR_TAPS = (1.0, 3.0, 3.0, 1.0)


def upcast(x: Tensor) -> Tensor:
    """Return `x` in at least float32, as statistics and losses need; float64 is unchanged."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def leaky_relu_scaled(x: Tensor) -> Tensor:
    """Compute the variance-preserving leaky ReLU sqrt(2) * lrelu(x, 0.2)."""
    return leaky_relu_(x * LRELU_GAIN, LRELU_SLOPE)


def pixel_norm(x: Tensor, dim: int = -1) -> Tensor:
    """Scale `x` to unit mean square along `dim` (pixel norm; input of the mapping network)."""
    return x * torch.rsqrt(x.square().mean(dim, keepdim=True) + 1e-8)


class PixelNorm(nn.Module):
    """Pixel norm over the last dimension, as a layer without parameters."""

    def forward(self, x: Tensor) -> Tensor:
        return pixel_norm(x)


class FusedLeakyReLU(nn.Module):
    """Bias per channel, then the scaled leaky ReLU. Input (N, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return leaky_relu_scaled(x_NCHW + self.bias.to(x_NCHW.dtype).view(1, -1, 1, 1))


class EqualLinear(nn.Module):
    """Linear layer with equalised learning rate; weights are stored before scaling.

    Args:
        inputs: width of the input.
        outputs: width of the output.
        bias: initial bias, before the learning-rate multiplier.
        lr_mul: learning-rate multiplier (0.01 in the mapping network).
        activate: apply the scaled leaky ReLU.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        bias: float = 0.0,
        lr_mul: float = 1.0,
        activate: bool = False,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr_mul)
        self.bias = nn.Parameter(torch.full((outputs,), bias))
        self.scale = lr_mul / math.sqrt(inputs)
        self.lr_mul = lr_mul
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        weight = (self.weight * self.scale).to(x.dtype)
        x = F.linear(x, weight, (self.bias * self.lr_mul).to(x.dtype))
        return leaky_relu_scaled(x) if self.activate else x


class EqualConv2d(nn.Module):
    """Convolution with equalised learning rate and optional bias: (N, I, H, W) to (N, O, H, W)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int = 0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scale = 1 / math.sqrt(inputs * kernel * kernel)
        self.stride = stride
        self.padding = padding

    def forward(self, x_NIHW: Tensor) -> Tensor:
        return self.convolve(x_NIHW, self.bias)

    def convolve(self, x_NIHW: Tensor, bias_O: Tensor | None, gain: float = 1.0) -> Tensor:
        """Convolve with the bias of the caller; scale the result by `gain`."""
        dtype = x_NIHW.dtype
        weight = (self.weight * (self.scale * gain)).to(dtype)
        bias = None if bias_O is None else (bias_O * gain).to(dtype)
        return conv2d(x_NIHW, weight, bias, ConvGeometry(self.stride, self.padding))


class ConvLayer(nn.Sequential):
    """[Blur], equalised convolution, bias and scaled leaky ReLU: the published sequence of layers.

    sqrt(2) lrelu(Wx + b) is lrelu(sqrt(2) Wx + sqrt(2) b): with the gain in the weights, the bias
    in the convolution and an in-place activation, one pass over the map replaces three.
    """

    def forward(self, x_NIHW: Tensor) -> Tensor:
        *before, conv, activation = self
        for layer in before:
            x_NIHW = layer(x_NIHW)
        assert isinstance(conv, EqualConv2d)
        assert isinstance(activation, FusedLeakyReLU)
        x_NOHW = conv.convolve(x_NIHW, activation.bias, LRELU_GAIN)
        return leaky_relu_(x_NOHW, LRELU_SLOPE)


def fir_kernel(gain: float = 1.0) -> Tensor:
    """Return the separable low-pass filter [1, 3, 3, 1], of sum `gain`. Shape (4, 4)."""
    taps = torch.tensor(FIR_TAPS)
    kernel = torch.outer(taps, taps)
    return kernel / kernel.sum() * gain


class Blur(nn.Module):
    """Low-pass filter as one depthwise convolution (upfirdn2d without resampling).

    Args:
        padding: zeros before and after, the same on both axes.
        gain: sum of the filter; 4 after an upsampling by zero insertion.
    """

    kernel: Tensor

    def __init__(self, padding: tuple[int, int], gain: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("kernel", fir_kernel(gain))
        self.padding = padding

    def forward(self, x_NCHW: Tensor) -> Tensor:
        channels = x_NCHW.shape[1]
        kernel = self.kernel.to(x_NCHW.dtype).expand(channels, 1, -1, -1)
        before, after = self.padding
        if before == after:
            return conv2d(x_NCHW, kernel, geometry=ConvGeometry(1, before, channels))
        x_NCHW = F.pad(x_NCHW, (before, after, before, after))
        return conv2d(x_NCHW, kernel, geometry=ConvGeometry(1, 0, channels))


class FirUpsample(nn.Module):
    """Upsampling by 2 with the FIR filter, as one transposed depthwise convolution."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", fir_kernel(gain=4.0))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        channels = x_NCHW.shape[1]
        kernel = self.kernel.to(x_NCHW.dtype).expand(channels, 1, -1, -1)
        return conv_transpose2d(x_NCHW, kernel, ConvGeometry(2, 1, channels))


class ModulatedConv2d(nn.Module):
    """Modulated convolution (StyleGAN2, section 2.2) with one weight for the whole batch.

    Modulating the weight and convolving equals scaling the input channels by the style, convolving,
    and scaling the output channels by the demodulation factor (equations 1 to 3). This form needs
    no grouped convolution, and its weight gradient is one ordinary convolution.

    Args:
        inputs, outputs: channels.
        kernel: 1 or 3.
        style_dim: width D of the style.
        demodulate: normalise each output channel (equation 3).
        upsample: double the size, then apply the low-pass filter.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        style_dim: int,
        *,
        demodulate: bool = True,
        upsample: bool = False,
    ) -> None:
        super().__init__()
        # In the memory layout of the convolution, which then makes no copy.
        order = (0, 2, 3, 4, 1) if upsample else (0, 1, 3, 4, 2)
        shape = (1, outputs, inputs, kernel, kernel)
        self.weight = nn.Parameter(torch.empty_permuted(shape, order).copy_(torch.randn(shape)))
        self.modulation = EqualLinear(style_dim, inputs, bias=1.0)
        self.blur = Blur((1, 1), gain=4.0) if upsample else None
        self.scale = 1 / math.sqrt(inputs * kernel * kernel)
        self.padding = kernel // 2
        self.demodulate = demodulate

    def forward(self, x_NIHW: Tensor, w_ND: Tensor) -> Tensor:
        x_NOHW, demod_NO = self.convolve(x_NIHW, w_ND)
        if demod_NO is None:
            return x_NOHW
        return x_NOHW * demod_NO.to(x_NOHW.dtype)[:, :, None, None]

    def convolve(self, x_NIHW: Tensor, w_ND: Tensor) -> tuple[Tensor, Tensor | None]:
        """Convolve without demodulation; return the map and the factors (N, O) of equation 3."""
        dtype = x_NIHW.dtype
        style_NI: Tensor = self.modulation(w_ND) * self.scale
        x = x_NIHW * style_NI.to(dtype)[:, :, None, None]
        weight = derived_tensor(self.weight, dtype, self._cast(dtype))
        if self.blur is None:
            x = conv2d(x, weight, geometry=ConvGeometry(1, self.padding))
        else:
            x = self.blur(conv_transpose2d(x, weight, ConvGeometry(2)))
        if not self.demodulate:
            return x, None
        energy_OI = derived_tensor(self.weight, "energy", self._energy)
        return x, torch.rsqrt(F.linear(style_NI.square(), energy_OI) + 1e-8)

    def _as_convolved(self, weight_1OIKK: Tensor) -> Tensor:
        """Return the weight (O, I, K, K), or (I, O, K, K) for the transposed convolution."""
        weight_OIKK = weight_1OIKK[0]
        return weight_OIKK if self.blur is None else weight_OIKK.transpose(0, 1)

    def _cast(self, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
        """Return the function that casts the weight to `dtype`, in channels-last memory."""
        return lambda w: self._as_convolved(w).to(dtype, memory_format=torch.channels_last)

    def _energy(self, weight_1OIKK: Tensor) -> Tensor:
        """Compute the squared norms (O, I) of the kernels, for equation 3, along memory."""
        energy = self._as_convolved(weight_1OIKK).square().sum((2, 3))
        return energy if self.blur is None else energy.t()


class NoiseInjection(nn.Module):
    """Noise input with one learnt strength (StyleGAN2, figure 2c)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x_NCHW: Tensor, noise_N1HW: Tensor) -> Tensor:
        return x_NCHW + (self.weight * noise_N1HW).to(x_NCHW.dtype)
