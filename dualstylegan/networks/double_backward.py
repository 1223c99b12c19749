"""conv2d and leaky ReLU with cheap second derivatives, for R1 and path length.

A convolution is a form <g, w * x>, linear in input x, weight w and output gradient g. With two of
them held fixed it is the convolution, its input gradient or its weight gradient; the gradients of
each are the other two. torch's own second derivative also computes weight gradients of frozen
weights, runs depthwise filters channel by channel, and carries the zero second derivative of a
piecewise linear activation through the whole network once more.

Legend of shape suffixes: N image, I input channel, O output channel, H height, W width, K kernel.
Inside the autograd functions: x input, w weight, g gradient of the output.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

Gradients = tuple[Tensor | None, ...]

# What torch calls x86 processors whose vectors have 256 bits at most.
WITHOUT_AVX512 = ("AVX2", "DEFAULT")


@dataclass(frozen=True)
class ConvGeometry:
    """Stride, padding and groups of a convolution, the same on both axes."""

    stride: int = 1
    padding: int = 0
    groups: int = 1


class _WeightGradients:
    """Switch of weight gradients: a function is not told which gradients `autograd.grad` needs."""

    enabled = True


@contextmanager
def no_weight_gradients() -> Iterator[None]:
    """Skip weight gradients within a block, as for the first derivative of a gradient penalty."""
    _WeightGradients.enabled = False
    try:
        yield
    finally:
        _WeightGradients.enabled = True


def _weight_gradients() -> bool:
    """Return False where a penalty's first derivative is taken, which makes a graph of itself.

    The plain backward pass of another thread makes none, and is not switched.
    """
    return _WeightGradients.enabled or not torch.is_grad_enabled()


class _Conv2d(Function):
    """Convolution w * x + b."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, w: Tensor, bias: Tensor | None, geometry: ConvGeometry
    ) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, w)
        ctx.geometry = geometry
        return F.conv2d(x, w, bias, geometry.stride, geometry.padding, groups=geometry.groups)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Gradients:
        (g,), (x, w) = gradients, ctx.saved_tensors
        if g is None:
            return None, None, None, None
        need_x, *rest, _ = ctx.needs_input_grad
        need_w, need_bias = (needed and _weight_gradients() for needed in rest)
        if not torch.is_grad_enabled():  # the last derivative: one call for all gradients
            return *_convolution_backward(g, x, w, ctx.geometry, (need_x, need_w, need_bias)), None
        return (
            _input_gradient(g, w, ctx.geometry, x.shape[-1], memory_format_of(x))
            if need_x
            else None,
            _weight_gradient(g, x, ctx.geometry, w.shape) if need_w else None,
            g.sum((0, 2, 3)) if need_bias else None,
            None,
        )


class _InputGradient(Function):
    """Gradient of <g, w * x> with respect to x: a transposed convolution of g."""

    @staticmethod
    def forward(
        ctx: Any,
        g: Tensor,
        w: Tensor,
        geometry: ConvGeometry,
        size: int,
        memory_format: torch.memory_format,
    ) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(g, w)
        ctx.geometry = geometry
        if memory_format == memory_format_of(g):
            extra = size - _min_input_size(g, w, geometry)
            return F.conv_transpose2d(
                g, w, None, geometry.stride, geometry.padding, extra, groups=geometry.groups
            )
        shape = len(g), w.shape[1] * geometry.groups, size, size
        x = torch.empty(shape, dtype=g.dtype, device=g.device, memory_format=memory_format)
        (gradient, *_) = _convolution_backward(g, x, w, geometry, (True, False, False))
        assert gradient is not None
        return gradient

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Gradients:
        (x,), (g, w) = gradients, ctx.saved_tensors
        if x is None:
            return None, None, None, None, None
        need_g, need_w, *_ = ctx.needs_input_grad
        return (
            conv2d(x, w, None, ctx.geometry) if need_g else None,
            _weight_gradient(g, x, ctx.geometry, w.shape)
            if need_w and _weight_gradients()
            else None,
            None,
            None,
            None,
        )


class _WeightGradient(Function):
    """Gradient of <g, w * x> with respect to w."""

    @staticmethod
    def forward(
        ctx: Any, g: Tensor, x: Tensor, geometry: ConvGeometry, shape: torch.Size
    ) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(g, x)
        ctx.geometry = geometry
        (_, gradient, _) = _convolution_backward(
            g, x, g.new_empty(shape), geometry, (False, True, False)
        )
        assert gradient is not None
        return gradient

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Gradients:
        (w,), (g, x) = gradients, ctx.saved_tensors
        if w is None:
            return None, None, None, None
        need_g, need_x, *_ = ctx.needs_input_grad
        return (
            conv2d(x, w, None, ctx.geometry) if need_g else None,
            _input_gradient(g, w, ctx.geometry, x.shape[-1], memory_format_of(x))
            if need_x
            else None,
            None,
            None,
        )


class _LeakyReLU(Function):
    """In-place leaky ReLU whose derivative depends on the sign of the output, as a constant."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: float) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.mark_dirty(x)
        ctx.slope = slope
        F.leaky_relu_(x, slope)
        ctx.save_for_backward(x)
        return x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Gradients:
        if gradients[0] is None:
            return None, None
        gradient: Tensor = _LeakyReLUGradient.apply(gradients[0], *ctx.saved_tensors, ctx.slope)  # type: ignore[no-untyped-call]
        return gradient, None


class _LeakyReLUGradient(Function):
    """Gradient of leaky ReLU: g where the output is positive, else `slope` g. Linear in g."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, y: Tensor, slope: float) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.slope = slope
        ctx.save_for_backward(y)
        gradient: Tensor = torch.ops.aten.leaky_relu_backward(g, y, slope, True)
        return gradient

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Gradients:
        if gradients[0] is None:
            return None, None, None
        gradient: Tensor = _LeakyReLUGradient.apply(gradients[0], *ctx.saved_tensors, ctx.slope)  # type: ignore[no-untyped-call]
        return gradient, None, None


def conv2d(
    x_NIHW: Tensor,
    w_OIKK: Tensor,
    bias_O: Tensor | None = None,
    geometry: ConvGeometry = ConvGeometry(),
) -> Tensor:
    """Convolve square maps with square kernels, as `F.conv2d` does."""
    output: Tensor = _Conv2d.apply(x_NIHW, w_OIKK, bias_O, geometry)  # type: ignore[no-untyped-call]
    return output


def conv_transpose2d(x_NIHW: Tensor, w_IOKK: Tensor, geometry: ConvGeometry) -> Tensor:
    """Convolve transposed, as `F.conv_transpose2d`: the input gradient of a convolution."""
    return _input_gradient(
        x_NIHW,
        w_IOKK,
        geometry,
        _min_input_size(x_NIHW, w_IOKK, geometry),
        memory_format_of(x_NIHW),
    )


def leaky_relu_(x: Tensor, slope: float) -> Tensor:
    """Apply leaky ReLU in place, as `F.leaky_relu_` does."""
    output: Tensor = _LeakyReLU.apply(x, slope)  # type: ignore[no-untyped-call]
    return output


def _min_input_size(g: Tensor, w: Tensor, geometry: ConvGeometry) -> int:
    """Return the minimum input size for which the convolution's output has the size of `g`."""
    return (g.shape[-1] - 1) * geometry.stride + w.shape[-1] - 2 * geometry.padding


def _convolution_backward(
    g: Tensor, x: Tensor, w: Tensor, geometry: ConvGeometry, needed: tuple[bool, bool, bool]
) -> Gradients:
    """Compute the needed gradients of <g, w * x + b> with respect to x, w and b, else None.

    Without AVX-512, oneDNN's weight gradient of float32 maps takes four times as long in
    channels-last memory as in contiguous.
    """
    if needed[1] and _slow_channels_last(x):
        need_x, _, need_bias = needed
        x_gradient = bias_gradient = None
        if need_x or need_bias:
            rest = need_x, False, need_bias
            x_gradient, _, bias_gradient = _convolution_backward(g, x, w, geometry, rest)
        g, x, w = g.contiguous(), x.contiguous(), w.contiguous()
        _, w_gradient, _ = _convolution_backward(g, x, w, geometry, (False, True, False))
        return x_gradient, w_gradient, bias_gradient
    stride, padding, dilation, extra = ([n] * 2 for n in (geometry.stride, geometry.padding, 1, 0))
    bias = [w.shape[0]]
    gradients: Gradients = torch.ops.aten.convolution_backward(
        g, x, w, bias, stride, padding, dilation, False, extra, geometry.groups, needed
    )
    return gradients


def _slow_channels_last(x: Tensor) -> bool:
    """Return True if weight gradients of maps like `x` are slow in their memory format."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and torch.backends.cpu.get_cpu_capability() in WITHOUT_AVX512
        and memory_format_of(x) == torch.channels_last
    )


def memory_format_of(x: Tensor) -> torch.memory_format:
    """Return the memory format of a tensor, which its gradient shares."""
    channels_last = x.is_contiguous(memory_format=torch.channels_last)
    return (
        torch.channels_last if channels_last and not x.is_contiguous() else torch.contiguous_format
    )


def _input_gradient(
    g: Tensor, w: Tensor, geometry: ConvGeometry, size: int, memory_format: torch.memory_format
) -> Tensor:
    gradient: Tensor = _InputGradient.apply(g, w, geometry, size, memory_format)  # type: ignore[no-untyped-call]
    return gradient


def _weight_gradient(g: Tensor, x: Tensor, geometry: ConvGeometry, shape: torch.Size) -> Tensor:
    gradient: Tensor = _WeightGradient.apply(g, x, geometry, shape)  # type: ignore[no-untyped-call]
    return gradient
