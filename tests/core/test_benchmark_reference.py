"""What speed is measured by computes the same: outputs and gradients of both formulations agree."""

from __future__ import annotations

import torch

from benchmarks.reference import published_formulation
from dualstylegan.networks.discriminator import Discriminator
from dualstylegan.networks.stylegan2 import StyleGAN2


def test_the_published_formulation_gives_the_same_images_and_gradients() -> None:
    torch.manual_seed(0)
    generator = StyleGAN2(64, style_dim=16, mapping_layers=2, channels=[8, 8, 8, 8, 4]).double()
    generator.compute_dtype = torch.double
    discriminator = Discriminator(64, channels=[8] * 5).double()
    discriminator.compute_dtype = torch.double
    w_NLD = torch.randn(3, generator.rows, 16, dtype=torch.double)

    def both() -> tuple[torch.Tensor, torch.Tensor]:
        code = w_NLD.clone().requires_grad_(True)
        image = generator.synthesise(code)
        (gradient,) = torch.autograd.grad(discriminator(image).sum(), code)
        return image.detach(), gradient

    image, gradient = both()
    with published_formulation():
        theirs, slope = both()
    assert torch.allclose(image, theirs, atol=1e-9)
    assert torch.allclose(gradient, slope, atol=1e-9)
    again, _ = both()
    assert torch.equal(again, image)
