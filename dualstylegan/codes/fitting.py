"""Fit of Z+ codes to aligned faces, shared by pipeline and model, and the likeness of the result.

Legend of shape suffixes: N image, S exemplar, L row, D style width, C channel, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from dualstylegan.codes.inversion import (
    IdentityTerm,
    OptimizationSchedule,
    RestyledIdentity,
    encode,
    encode_in_passes,
    invert,
    resize_images,
)
from dualstylegan.networks.dualstylegan import DualStyleGAN
from dualstylegan.networks.generator import Generator
from dualstylegan.networks.identity import DlibFaceRecognition, FaceRecognition, similarity
from dualstylegan.networks.masks import Mask, within
from dualstylegan.networks.vgg import PerceptualNetwork


@dataclass(frozen=True)
class FitSettings:
    """Settings of the fit of Z+ codes to aligned faces; the defaults are those of the pipeline.

    Attributes:
        size: side in pixels at which rendering and face are compared by LPIPS and pixel loss.
        steps: optimisation steps after the encoder; 0 keeps its codes.
        passes: passes of the encoder, see `encode_in_passes`.
        rate: peak learning rate.
        pixel_weight: weight of the mean absolute difference, beside LPIPS of weight 1.
        identity_weight: weight of the identity distance; 0 leaves it out.
        restyled_weight: weight of the identity distance after restyling; 0 leaves it out, as where
            no style model is trained yet.
        structure, color: style weights of the restyled faces.
    """

    size: int = 128
    steps: int = 12
    passes: int = 3
    rate: float = 0.12
    pixel_weight: float = 0.2
    identity_weight: float = 0.5
    restyled_weight: float = 0.0
    structure: float = 1.0
    color: float = 1.0

    @classmethod
    def of_painting(cls, size: int, steps: int, rate: float, pixel_weight: float) -> FitSettings:
        """Return settings for paintings, which have no identity to keep."""
        return cls(
            size=size,
            steps=steps,
            passes=1,
            rate=rate,
            pixel_weight=pixel_weight,
            identity_weight=0.0,
            restyled_weight=0.0,
        )

    @property
    def needs_identity(self) -> bool:
        """True if the fit runs face recognition."""
        weights = self.identity_weight + self.restyled_weight
        return self.passes > 1 or (self.steps > 0 and weights > 0)


@dataclass(frozen=True)
class FitNetworks:
    """Frozen networks of the fit.

    Attributes:
        generator, encoder: g, and E into its Z+ codes.
        lpips: perceptual distance; needed for optimisation steps.
        identity: face recognition; needed where the settings weigh the identity distance or the
            encoder takes several passes.
        dualstylegan, extrinsic_SLD: G, and codes in Z+ of the exemplars in the order of the steps;
            needed where the settings weigh the identity distance after restyling.
    """

    generator: Generator
    encoder: nn.Module
    lpips: PerceptualNetwork | None = None
    identity: FaceRecognition | None = None
    dualstylegan: DualStyleGAN | None = None
    extrinsic_SLD: Tensor | None = None

    @property
    def present(self) -> list[nn.Module]:
        """Networks of a fit without restyling, as far as given, in a fixed order."""
        networks = (self.generator, self.encoder, self.lpips, self.identity)
        return [network for network in networks if network is not None]


@dataclass(frozen=True)
class FittedCodes:
    """Z+ codes of faces, with their losses where steps were taken.

    Attributes:
        code_NLD: codes of the lowest loss; the last ones where the steps restyle.
        initial_loss_N, loss_N: losses of the encoder's codes and of the best; None without steps,
            or where the steps restyle.
    """

    code_NLD: Tensor
    initial_loss_N: Tensor | None = None
    loss_N: Tensor | None = None


def fit(
    networks: FitNetworks,
    image_NCHW: Tensor,
    settings: FitSettings,
    progress: Callable[[int], None] | None = None,
    mask_N1HW: Mask = None,
) -> FittedCodes:
    """Fit Z+ codes to aligned faces: the encoder's codes, then inversion from them.

    Pipeline, `PortraitModel` and `add_style` all call this function, so that the same aligned face
    has the same code everywhere.

    Args:
        networks: those that the settings need.
        image_NCHW: faces in [-1, 1], no smaller than `settings.size`; identity is compared at
            their own size.
        settings: size, steps, rate and loss weights.
        progress: called with the number of steps done.
        mask_N1HW: of what lies inside of the faces' pictures, in the faces' size; see `masks`.
    """
    start_NLD = encode_faces(networks, image_NCHW, settings.passes, mask_N1HW)
    if settings.steps == 0:
        return FittedCodes(start_NLD)
    assert networks.lpips is not None
    identity = restyled = None
    if settings.identity_weight or settings.restyled_weight:
        assert networks.identity is not None
        identity = IdentityTerm.of_faces(
            networks.identity, image_NCHW, settings.identity_weight, mask_N1HW
        )
    if settings.restyled_weight:
        assert identity is not None
        restyled = restyled_identity(networks, identity, settings)
    found = invert(
        networks.generator,
        networks.lpips,
        resize_images(image_NCHW, settings.size),
        start_NLD,
        OptimizationSchedule(settings.steps),
        space="z_plus",
        rate=settings.rate,
        pixel_weight=settings.pixel_weight,
        identity=identity,
        restyled=restyled,
        mask_N1HW=mask_N1HW,
        progress=progress,
    )
    if restyled is not None:  # losses after different exemplars cannot be compared
        return FittedCodes(found.latents[0])
    return FittedCodes(found.latents[0], found.initial_loss_N, found.loss_N)


def restyled_identity(
    networks: FitNetworks, identity: IdentityTerm, settings: FitSettings
) -> RestyledIdentity:
    """Return the identity term after restyling."""
    assert networks.dualstylegan is not None
    assert networks.extrinsic_SLD is not None
    with torch.no_grad():
        style_SLD = networks.generator.map(networks.extrinsic_SLD)
    weighted = replace(identity, weight=settings.restyled_weight)
    weights = settings.structure, settings.color
    return RestyledIdentity(networks.dualstylegan, style_SLD, weighted, settings.size, *weights)


def encode_faces(
    networks: FitNetworks, image_NCHW: Tensor, passes: int, mask_N1HW: Mask = None
) -> Tensor:
    """Encode faces into codes (N, L, D) in the given number of passes."""
    if passes == 1:
        return encode(networks.encoder, image_NCHW)
    assert networks.identity is not None
    encoder, generator = networks.encoder, networks.generator
    return encode_in_passes(encoder, generator, networks.identity, image_NCHW, passes, mask_N1HW)


@torch.no_grad()
def likeness(
    generator: Generator,
    identity: DlibFaceRecognition,
    code_NLD: Tensor,
    image_NCHW: Tensor,
    size: int,
    mask_N1HW: Mask = None,
) -> Tensor:
    """Compute the identity similarity (N,) of g(code) to the faces that the codes were fitted to.

    Both are mirrored: the fit optimises the embedding of the face as it is, so that a similarity
    measured there would be too optimistic.

    Args:
        generator, identity: frozen networks.
        code_NLD: Z+ codes.
        image_NCHW: the faces in [-1, 1].
        size: side in pixels of the renderings, which are enlarged to that of the faces.
        mask_N1HW: of what lies inside of the faces' pictures, in the faces' size.
    """
    rendered = generator(code_NLD, "z_plus", size=size).clamp(-1, 1)
    enlarged = resize_images(rendered, image_NCHW.shape[-1])
    enlarged = within(mask_N1HW, enlarged, image_NCHW)
    return similarity(identity(enlarged.flip(3)), identity(image_NCHW.flip(3)))
