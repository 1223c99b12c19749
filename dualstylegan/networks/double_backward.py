"""Operations that R1 and path length differentiate twice, at the price of what is asked for.

A convolution is a form <g, w * x> that is linear in input x, weight w and slope g. Holding two of
them gives the convolution, its gradient by the input, or its gradient by the weight; the gradients
of each are the other two. torch's own second derivative forms weight gradients of frozen weights
too, goes through depthwise filters channel by channel, and carries the zeros that a piecewise
linear activation leaves behind through the whole network once more.

Legend of shape suffixes: N image, I input channel, O output channel, H height, W width, K kernel.
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

Slopes = tuple[Tensor | None, ...]


@dataclass(frozen=True)
class ConvGeometry:
    """Geometry of a convolution of square kernels, the same on both axes."""

    stride: int = 1
    padding: int = 0
    groups: int = 1


class _Asked:
    """Whether gradients by weights are formed; autograd does not tell a function."""

    weights = True


@contextmanager
def no_weight_gradients() -> Iterator[None]:
    """Gradients inside are by the input alone, as where a penalty takes the first of two."""
    _Asked.weights = False
    try:
        yield
    finally:
        _Asked.weights = True


class _Convolve(Function):
    """w * x + b."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, w: Tensor, bias: Tensor | None, geometry: ConvGeometry
    ) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, w)
        ctx.geometry = geometry
        return F.conv2d(x, w, bias, geometry.stride, geometry.padding, groups=geometry.groups)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor | None) -> Slopes:
        (g,), (x, w) = slopes, ctx.saved_tensors
        if g is None:
            return None, None, None, None
        by_x, *rest, _ = ctx.needs_input_grad
        by_w, by_bias = (needed and _Asked.weights for needed in rest)
        if not torch.is_grad_enabled():  # the last derivative: all in one call
            return *_derived(g, x, w, ctx.geometry, (by_x, by_w, by_bias)), None
        return (
            _by_input(g, w, ctx.geometry, x.shape[-1], layout(x)) if by_x else None,
            _by_weight(g, x, ctx.geometry, w.shape) if by_w else None,
            g.sum((0, 2, 3)) if by_bias else None,
            None,
        )


class _ByInput(Function):
    """Gradient of <g, w * x> by x, which is a transposed convolution of g."""

    @staticmethod
    def forward(
        ctx: Any,
        g: Tensor,
        w: Tensor,
        geometry: ConvGeometry,
        size: int,
        lying: torch.memory_format,
    ) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(g, w)
        ctx.geometry = geometry
        if lying == layout(g):
            extra = size - _smallest(g, w, geometry)
            return F.conv_transpose2d(
                g, w, None, geometry.stride, geometry.padding, extra, groups=geometry.groups
            )
        shape = len(g), w.shape[1] * geometry.groups, size, size
        x = torch.empty(shape, dtype=g.dtype, device=g.device, memory_format=lying)
        (found, *_) = _derived(g, x, w, geometry, (True, False, False))
        assert found is not None
        return found

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor | None) -> Slopes:
        (x,), (g, w) = slopes, ctx.saved_tensors
        if x is None:
            return None, None, None, None, None
        by_g, by_w, *_ = ctx.needs_input_grad
        return (
            conv2d(x, w, None, ctx.geometry) if by_g else None,
            _by_weight(g, x, ctx.geometry, w.shape) if by_w and _Asked.weights else None,
            None,
            None,
            None,
        )


class _ByWeight(Function):
    """Gradient of <g, w * x> by w."""

    @staticmethod
    def forward(
        ctx: Any, g: Tensor, x: Tensor, geometry: ConvGeometry, shape: torch.Size
    ) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(g, x)
        ctx.geometry = geometry
        (_, found, _) = _derived(g, x, g.new_empty(shape), geometry, (False, True, False))
        assert found is not None
        return found

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor | None) -> Slopes:
        (w,), (g, x) = slopes, ctx.saved_tensors
        if w is None:
            return None, None, None, None
        by_g, by_x, *_ = ctx.needs_input_grad
        return (
            conv2d(x, w, None, ctx.geometry) if by_g else None,
            _by_input(g, w, ctx.geometry, x.shape[-1], layout(x)) if by_x else None,
            None,
            None,
        )


class _LeakyReLU(Function):
    """In place; its slope goes by the sign of the result, and has no slope of its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, negative: float) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.mark_dirty(x)
        ctx.negative = negative
        F.leaky_relu_(x, negative)
        ctx.save_for_backward(x)
        return x

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor | None) -> Slopes:
        if slopes[0] is None:
            return None, None
        found: Tensor = _LeakySlope.apply(slopes[0], *ctx.saved_tensors, ctx.negative)  # type: ignore[no-untyped-call]
        return found, None


class _LeakySlope(Function):
    """g where the result is positive, `negative` times g elsewhere: linear in g alone."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, y: Tensor, negative: float) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.negative = negative
        ctx.save_for_backward(y)
        found: Tensor = torch.ops.aten.leaky_relu_backward(g, y, negative, True)
        return found

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor | None) -> Slopes:
        if slopes[0] is None:
            return None, None, None
        found: Tensor = _LeakySlope.apply(slopes[0], *ctx.saved_tensors, ctx.negative)  # type: ignore[no-untyped-call]
        return found, None, None


def conv2d(
    x_NIHW: Tensor,
    w_OIKK: Tensor,
    bias_O: Tensor | None = None,
    geometry: ConvGeometry = ConvGeometry(),
) -> Tensor:
    """`F.conv2d` of square maps and kernels."""
    found: Tensor = _Convolve.apply(x_NIHW, w_OIKK, bias_O, geometry)  # type: ignore[no-untyped-call]
    return found


def conv_transpose2d(x_NIHW: Tensor, w_IOKK: Tensor, geometry: ConvGeometry) -> Tensor:
    """`F.conv_transpose2d` without bias: the gradient, by its input, of a convolution."""
    return _by_input(x_NIHW, w_IOKK, geometry, _smallest(x_NIHW, w_IOKK, geometry), layout(x_NIHW))


def leaky_relu_(x: Tensor, negative: float) -> Tensor:
    """`F.leaky_relu_`."""
    found: Tensor = _LeakyReLU.apply(x, negative)  # type: ignore[no-untyped-call]
    return found


def _smallest(g: Tensor, w: Tensor, geometry: ConvGeometry) -> int:
    """Least size of a map that a convolution makes `g` of."""
    return (g.shape[-1] - 1) * geometry.stride + w.shape[-1] - 2 * geometry.padding


def _derived(
    g: Tensor, x: Tensor, w: Tensor, geometry: ConvGeometry, wanted: tuple[bool, bool, bool]
) -> Slopes:
    """Gradients of <g, w * x + b> by x, w and b, those that are wanted."""
    stride, padding, dilation, extra = ([n] * 2 for n in (geometry.stride, geometry.padding, 1, 0))
    bias = [w.shape[0]]
    found: Slopes = torch.ops.aten.convolution_backward(
        g, x, w, bias, stride, padding, dilation, False, extra, geometry.groups, wanted
    )
    return found


def layout(x: Tensor) -> torch.memory_format:
    """Which way a map lies in memory; gradients lie as what they are gradients of."""
    last = x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last and not x.is_contiguous() else torch.contiguous_format


def _by_input(
    g: Tensor, w: Tensor, geometry: ConvGeometry, size: int, lying: torch.memory_format
) -> Tensor:
    found: Tensor = _ByInput.apply(g, w, geometry, size, lying)  # type: ignore[no-untyped-call]
    return found


def _by_weight(g: Tensor, x: Tensor, geometry: ConvGeometry, shape: torch.Size) -> Tensor:
    found: Tensor = _ByWeight.apply(g, x, geometry, shape)  # type: ignore[no-untyped-call]
    return found
