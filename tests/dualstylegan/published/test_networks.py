"""Layers against their definitions and finite differences; networks of any size and batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualstylegan.errors import DataError
from dualstylegan.losses import contextual
from dualstylegan.networks.discriminator import Discriminator, minibatch_stddev
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.extrinsic import AdaIN, ModRes, color_transform, structure_transform
from dualstylegan.networks.ir_se50 import FACE_PX, IRSE50, ResidualBlock, SqueezeExcite
from dualstylegan.networks.layers import (
    Blur,
    EqualConv2d,
    EqualLinear,
    FirUpsample,
    FusedLeakyReLU,
    ModulatedConv2d,
    NoiseInjection,
    PixelNorm,
    fir_kernel,
)
from dualstylegan.networks.psp import PublishedEncoder, RowHead
from dualstylegan.networks.stylegan2 import StyleGAN2, ToRGB
from dualstylegan.networks.vgg19 import STAGE_2_WEIGHTS, STAGE_3_WEIGHTS, TAPS, VGG19

DIM = 5


def double(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unit_color_transform() -> nn.Module:
    return color_transform(DIM)


LAYERS: dict[str, tuple[Callable[[], nn.Module], list[tuple[int, ...]]]] = {
    "pixel norm": (PixelNorm, [(3, DIM)]),
    "fused leaky ReLU": (lambda: FusedLeakyReLU(3), [(2, 3, 4, 4)]),
    "equal linear": (lambda: EqualLinear(DIM, 3, lr_mul=0.01, activate=True), [(2, DIM)]),
    "equal convolution": (lambda: EqualConv2d(2, 3, 3, padding=1), [(2, 2, 4, 4)]),
    "blur": (lambda: Blur((2, 1)), [(1, 2, 5, 5)]),
    "FIR upsampling": (FirUpsample, [(1, 2, 3, 3)]),
    "modulated convolution": (lambda: ModulatedConv2d(3, 2, 3, DIM), [(2, 3, 4, 4), (2, DIM)]),
    "modulated, up": (
        lambda: ModulatedConv2d(3, 2, 3, DIM, upsample=True),
        [(1, 3, 3, 3), (1, DIM)],
    ),
    "to RGB": (lambda: ToRGB(3, DIM), [(1, 3, 4, 4), (1, DIM), (1, 3, 2, 2)]),
    "noise": (NoiseInjection, [(2, 3, 4, 4), (2, 1, 4, 4)]),
    "AdaIN": (lambda: AdaIN(3, DIM), [(2, 3, 4, 4), (2, DIM)]),
    "ModRes": (lambda: ModRes(3, DIM), [(1, 3, 4, 4), (1, DIM), (1,)]),
    "ModRes, narrow": (lambda: ModRes(3, DIM, 2), [(1, 3, 4, 4), (1, DIM), (1,)]),
    "T_c": (unit_color_transform, [(2, DIM)]),
    "T_s": (lambda: structure_transform(DIM), [(2, DIM)]),
    "squeeze and excitation": (lambda: SqueezeExcite(16), [(1, 16, 3, 3)]),
    "residual block": (lambda: ResidualBlock(16, 32, 2).eval(), [(1, 16, 4, 4)]),
    "row head": (lambda: RowHead(2, 3), [(1, 3, 4, 4)]),
}


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    torch.manual_seed(1)
    build, shapes = LAYERS[name]
    layer = build().double()
    for number, parameter in enumerate(layer.parameters()):
        parameter.data += 0.1 * double(*parameter.shape, seed=100 + number)
    inputs = [double(*shape, seed=i).requires_grad_() for i, shape in enumerate(shapes)]
    parameters = [p for p in layer.parameters() if p.numel() <= 200]

    def run(*values: Tensor) -> Tensor:
        given, weights = values[: len(inputs)], values[len(inputs) :]
        names = [n for n, p in layer.named_parameters() if p.numel() <= 200]
        return torch.func.functional_call(  # type: ignore[no-any-return]
            layer, dict(zip(names, weights, strict=True)), given
        )

    assert torch.autograd.gradcheck(run, (*inputs, *parameters), fast_mode=True)


def test_gradients_of_the_minibatch_deviation_and_the_contextual_loss() -> None:
    x, y = double(4, 2, 3, 3).requires_grad_(), double(4, 2, 3, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(minibatch_stddev, x, fast_mode=True)
    assert torch.autograd.gradcheck(lambda a, b: contextual(a, b, block=4), (x, y), fast_mode=True)


def test_second_derivatives_of_the_discriminator() -> None:
    """R1 differentiates D's gradient; so must the layers."""
    network = nn.Sequential(
        EqualConv2d(2, 3, 3, padding=1), FusedLeakyReLU(3), Blur((2, 2))
    ).double()
    x = double(1, 2, 4, 4).requires_grad_()
    assert torch.autograd.gradgradcheck(network, x, fast_mode=True)


def test_modulated_convolution_is_the_one_with_a_weight_for_each_image() -> None:
    """Equations 1 to 3 of StyleGAN2, written out: scale the weight, normalise it, convolve."""
    layer = ModulatedConv2d(3, 4, 3, DIM).double()
    x, w = double(2, 3, 6, 6), double(2, DIM)
    style = layer.modulation(w)
    for image in range(2):
        weight = layer.weight[0] * layer.scale * style[image][None, :, None, None]
        weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        expected = F.conv2d(x[image : image + 1], weight, padding=1)
        torch.testing.assert_close(layer(x, w)[image : image + 1], expected)


def test_resampling_is_zero_insertion_and_filtering() -> None:
    x = double(1, 2, 4, 4)
    stuffed = x.new_zeros(1, 2, 8, 8)
    stuffed[:, :, ::2, ::2] = x
    kernel = fir_kernel(4.0).double().expand(2, 1, 4, 4)
    expected = F.conv2d(F.pad(stuffed, (2, 1, 2, 1)), kernel, groups=2)
    torch.testing.assert_close(FirUpsample().double()(x), expected)


def small(
    resolution: int = 32, channels: Sequence[int] | None = None, **options: int
) -> DualStyleGAN:
    torch.manual_seed(0)
    count = {32: 4, 64: 5, 128: 6}[resolution]
    generator = StyleGAN2(
        resolution, style_dim=16, mapping_layers=2, channels=channels or [8] * count, **options
    )
    return DualStyleGAN(generator, (channels or [8])[0]).eval().requires_grad_(False)


@pytest.mark.parametrize(("resolution", "rows"), [(32, 8), (64, 10), (128, 12)])
def test_any_power_of_two_and_any_width(resolution: int, rows: int) -> None:
    widths = [12, 12, 12, 12, 7, 3][: rows // 2]
    network = small(resolution, widths)
    generator = network.generator
    assert (generator.rows, generator.structure_rows) == (rows, 7)
    assert len(network.mod_res) == 7
    image = network(torch.randn(1, rows, 16), torch.randn(1, rows, 16))
    assert image.shape == (1, 3, resolution, resolution)
    assert Discriminator(resolution, channels=widths)(image).shape == (1, 1)


@pytest.mark.parametrize("resolution", [16, 48, 0, -32])
def test_other_sizes_are_refused(resolution: int) -> None:
    with pytest.raises(DataError, match="power of two"):
        StyleGAN2(resolution)


def test_batch_composition_changes_no_row() -> None:
    network = small()
    z, s = torch.randn(3, 8, 16), torch.randn(3, 8, 16)
    together = network(z, s)
    for row in range(3):
        alone = network(z[row : row + 1], s[row : row + 1])
        torch.testing.assert_close(alone[0], together[row], rtol=1e-4, atol=1e-5)


def test_noise_is_fixed_unless_given() -> None:
    generator = small().generator
    for buffer in generator.modules():
        if isinstance(buffer, NoiseInjection):
            buffer.weight.fill_(1.0)
    z = torch.randn(2, 16)
    torch.testing.assert_close(generator(z), generator(z), rtol=0, atol=0)
    draws = [
        generator.random_noise(2, torch.Generator().manual_seed(s))  # type: ignore[operator]
        for s in (0, 0, 1)
    ]
    images = [generator(z, noise=draw) for draw in draws]
    torch.testing.assert_close(images[0], images[1], rtol=0, atol=0)
    assert not torch.allclose(images[0], images[2])


def test_weight_zero_on_every_row_is_the_generator_alone() -> None:
    network = small()
    z, s = torch.randn(2, 8, 16), torch.randn(2, 8, 16)
    off = network(z, None)
    torch.testing.assert_close(network(z, s, [0.0] * 8), off)
    torch.testing.assert_close(network(z, s, torch.zeros(8)), off)
    assert not torch.allclose(network(z, s, [0.0] * 7 + [1.0]), off)


def test_truncation_goes_to_the_true_mean() -> None:
    generator = small().generator
    generator.measure_mean_w(8192)
    z = torch.randn(4096, 16, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(generator.mean_w, generator.map(z).mean(0), atol=0.1, rtol=0)
    torch.testing.assert_close(generator.truncate(generator.map(z), 0.0)[0], generator.mean_w)


def test_encoder_and_identity_rows_do_not_depend_on_their_batch() -> None:
    torch.manual_seed(0)
    identity = IRSE50().eval().requires_grad_(False)
    images = torch.randn(2, 3, 112, 112)
    together = identity(images)
    torch.testing.assert_close(identity(images[1:]), together[1:], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(2))


def test_identity_looks_at_the_face_alone() -> None:
    torch.manual_seed(0)
    identity = IRSE50().eval().requires_grad_(False)
    image = torch.randn(1, 3, FACE_PX, FACE_PX)
    framed = image.clone()
    framed[:, :, :35], framed[:, :, 223:], framed[:, :, :, :32], framed[:, :, :, 220:] = 9, 9, 9, 9
    torch.testing.assert_close(identity.embed_aligned(framed), identity.embed_aligned(image))
    larger = image.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(
        identity.embed_aligned(larger), identity.embed_aligned(image), rtol=1e-3, atol=1e-4
    )


def test_vgg19_taps_and_published_weights() -> None:
    torch.manual_seed(0)
    network = VGG19().eval().requires_grad_(False)
    x = torch.rand(1, 3, 32, 32) * 2 - 1
    features = dict(zip(TAPS, network(x), strict=True))
    sizes = {name: (f.shape[1], f.shape[2]) for name, f in features.items()}
    assert sizes == {
        "relu1_1": (64, 32),
        "relu2_1": (128, 16),
        "relu3_1": (256, 8),
        "relu4_1": (512, 4),
        "relu5_1": (512, 2),
    }
    assert all(bool((f >= 0).all()) for f in features.values())
    later, earlier = network(x, ("relu3_1", "relu1_1"))
    torch.testing.assert_close(later, features["relu3_1"])
    torch.testing.assert_close(earlier, features["relu1_1"])
    assert STAGE_2_WEIGHTS == (0.5, 0.5, 0.5, 0, 0)
    assert STAGE_3_WEIGHTS == (0, 0.5, 1, 0, 0)


def test_published_encoder_takes_any_size_and_renders_nothing() -> None:
    with torch.device("meta"):
        encoder = PublishedEncoder(18).eval()
        assert encoder(torch.empty(2, 3, 1024, 1024)).shape == (2, 18, 512)
    assert not any(key.startswith("decoder") for key in encoder.state_dict())


@torch.no_grad()
def test_a_1024_px_forward_on_the_cpu() -> None:
    """The published size and widths, random weights, every row of both codes in use."""
    torch.manual_seed(0)
    network = DualStyleGAN(StyleGAN2(1024)).eval()
    assert sum(p.numel() for p in network.parameters()) == 74_176_268
    extrinsic = sum(p.numel() for p in network.extrinsic_parameters())
    assert extrinsic == 525_312 + 40_391_680 + 2_889_216
    assert (network.generator.rows, network.generator.structure_rows) == (18, 7)
    started = time.process_time()
    image = network(torch.randn(1, 18, 512), torch.randn(1, 18, 512))
    assert time.process_time() - started < 60
    assert image.shape == (1, 3, 1024, 1024)
    assert bool(image.isfinite().all())
