"""Baselines: simpler methods of restyling a face after one exemplar.

Legend of shape suffixes: N image, L row, D style width, C channel, H height, W width.

All use the same faces, codes, exemplars and g' as DualStyleGAN. Only pixel optimisation has to be
run for each image.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from dualstylegan.codes.inversion import resize_images
from dualstylegan.evaluation.eval_set import ExemplarBatch, FaceBatch, RestyleMethod
from dualstylegan.losses import feature_matching
from dualstylegan.networks.generator import Generator
from dualstylegan.networks.masks import Mask, mask_of, masked_mean
from dualstylegan.networks.mobilestylegan import MobileStyleGAN
from dualstylegan.networks.stylegan2 import StyleGAN2
from dualstylegan.networks.vgg import PerceptualNetwork

# Weights, learning rate and VGG16 stages of pixel optimisation (Gatys et al., 2016).
STYLE_WEIGHT, GRAM_WEIGHT, PIXEL_RATE = 1.0, 1.0, 0.03
CONTENT_STAGES, STYLE_STAGES = slice(3, 4), slice(0, 4)


def style_mixing(generator: Generator, size: int) -> RestyleMethod:
    """Style mixing: structure rows of the face, colour rows of the exemplar.

    On g this is colour transfer alone, where stage 1 starts. On g' it is the fine-tuned generator
    of transfer-learning methods, conditioned on an exemplar by its colour rows.

    Args:
        generator: g or g'.
        size: of the images, in pixels.
    """

    @torch.no_grad()
    def restyle(faces: FaceBatch, exemplars: ExemplarBatch, truncation: float) -> Tensor:
        face = generator.truncate(generator.map(faces.code_NLD), truncation)
        style = generator.map(exemplars.extrinsic_NLD)
        w_NLD = generator.mix(face, style, generator.structure_rows)
        return generator.synthesise(w_NLD, size=size).clamp(-1, 1)

    return restyle


def layer_swap(natural: Generator, adapted: Generator) -> Generator:
    """Layer swap (Pinkney and Adler, 2020): layers of g up to 32 px, layers of g' above.

    Shapes are those of faces, textures and colours those of the style.

    Raises:
        TypeError: a generator that is neither StyleGAN2 nor MobileStyleGAN.
    """
    coarse = tuple(_coarse_keys(natural))
    swapped = copy.deepcopy(adapted)
    state = swapped.state_dict()
    state |= {k: v for k, v in natural.state_dict().items() if k.startswith(coarse)}
    swapped.load_state_dict(state)
    return swapped


def _coarse_keys(generator: Generator) -> list[str]:
    """Key prefixes of the layers that use structure rows, and of the mapping network."""
    rows = generator.structure_rows
    if isinstance(generator, MobileStyleGAN):
        blocks = [f"blocks.{i}." for i in range((rows - 1) // 2)]
        return ["mapping.", "constant", "conv1.", *blocks]
    if isinstance(generator, StyleGAN2):
        doublings = (rows - 1) // 2
        convs = [f"convs.{i}." for i in range(2 * doublings)]
        rgbs = [f"to_rgbs.{i}." for i in range(doublings)]
        return ["style.", "input.", "conv1.", "to_rgb1.", *convs, *rgbs]
    raise TypeError(f"no layers to swap in {type(generator).__name__}")


def gram(features_NCHW: Tensor, mask_N1HW: Mask = None) -> Tensor:
    """Compute Gram matrices (N, C, C) of feature maps, divided by the maps' size.

    With a mask, of the positions that count, as if they were all.
    """
    flat = features_NCHW.float().flatten(2)
    mask = mask_of(mask_N1HW, features_NCHW)
    if mask is None:
        return flat @ flat.transpose(1, 2) / flat[0].numel()
    share_N1 = mask.float().mean((1, 2, 3)).clamp(min=1 / mask[0].numel())[:, None]
    flat = flat * mask.flatten(2)
    return flat @ flat.transpose(1, 2) / (flat[0].numel() * share_N1[..., None])


def pixel_optimisation(perceptual: PerceptualNetwork, steps: int, working_px: int) -> RestyleMethod:
    """Style transfer by optimisation of the photo's pixels (Gatys et al., 2016).

    The content target is the photo's fourth feature map, the style targets are the Gram matrices
    and means of the exemplar's first four. It uses no face generator, so shapes stay as they are.

    Args:
        perceptual: frozen VGG16.
        steps: of Adam.
        working_px: size of the optimised image, at most that of the photo; the change is enlarged
            and added to the photo.
    """

    def restyle(faces: FaceBatch, exemplars: ExemplarBatch, truncation: float) -> Tensor:
        size = min(working_px, faces.image_NCHW.shape[-1])
        photo, exemplar = (resize_images(x.image_NCHW, size) for x in (faces, exemplars))
        change = _optimise(perceptual, photo, exemplar, exemplars.mask_N1HW, steps) - photo
        return (faces.image_NCHW + resize_images(change, faces.image_NCHW.shape[-1])).clamp(-1, 1)

    return restyle


def _optimise(
    perceptual: PerceptualNetwork,
    photo_NCHW: Tensor,
    exemplar_NCHW: Tensor,
    mask_N1HW: Mask,
    steps: int,
) -> Tensor:
    with torch.no_grad():
        content = perceptual.features(photo_NCHW, 4)[CONTENT_STAGES]
        targets = perceptual.features(exemplar_NCHW, 4)[STYLE_STAGES]
        grams = [gram(x, mask_N1HW) for x in targets]
        means = [
            masked_mean(x.float(), mask_of(mask_N1HW, x), (2, 3))[..., None, None] for x in targets
        ]
        scale = [g.square().mean() for g in grams]
    with torch.enable_grad():
        image = photo_NCHW.clone().requires_grad_(True)
        optimiser = torch.optim.Adam([image], lr=PIXEL_RATE)
        for _ in range(steps):
            features = perceptual.features(image.clamp(-1, 1), 4)
            loss = sum(
                (a.float() - b.float()).square().mean() / b.float().square().mean()
                for a, b in zip(features[CONTENT_STAGES], content, strict=True)
            )
            loss = loss + STYLE_WEIGHT * feature_matching(features[STYLE_STAGES], means).mean()
            for a, b, s in zip(features[STYLE_STAGES], grams, scale, strict=True):
                loss = loss + GRAM_WEIGHT * (gram(a) - b).square().mean() / s
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return image.detach().clamp(-1, 1)
