"""What DualStyleGAN has to be better than: simpler ways to restyle a face after one exemplar.

Legend of shape suffixes: N image, L row, D style width, C channel, H height, W width.

All get the same faces, codes, exemplars and g' as DualStyleGAN itself; only the last one needs time
for each picture.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from dualstylegan.codes.inversion import at_size
from dualstylegan.evaluation.gallery import Restyle, Sitters, Styles
from dualstylegan.losses import feature_matching
from dualstylegan.networks.generator import Generator
from dualstylegan.networks.mobilestylegan import MobileStyleGAN
from dualstylegan.networks.stylegan2 import StyleGAN2
from dualstylegan.networks.vgg import Perceptual

# Weights, rate and stages of optimisation on pixels (Gatys et al., 2016).
STYLE_WEIGHT, GRAM_WEIGHT, PIXEL_RATE = 1.0, 1.0, 0.03
CONTENT_STAGES, STYLE_STAGES = slice(3, 4), slice(0, 4)


def mixed(generator: Generator, size: int) -> Restyle:
    """Style mixing: the face's rows of structure, the exemplar's rows of colour.

    On g this is what stage 1 starts from, colour transfer alone; on g' it is the fine-tuned
    generator of the transfer-learning methods, told which exemplar by its colour rows.
    """

    @torch.no_grad()
    def restyle(sitters: Sitters, styles: Styles, truncation: float) -> Tensor:
        face = generator.truncate(generator.map(sitters.code_NLD), truncation)
        style = generator.map(styles.extrinsic_NLD)
        w_NLD = generator.mix(face, style, generator.structure_rows)
        return generator.synthesise(w_NLD, size=size).clamp(-1, 1)

    return restyle


def layer_swap(natural: Generator, adapted: Generator) -> Generator:
    """g up to 32 px, g' from there on (Pinkney and Adler, 2020): faces' shapes, the style's look.

    Raises:
        TypeError: a generator of another kind.
    """
    coarse = tuple(_coarse_keys(natural))
    swapped = copy.deepcopy(adapted)
    state = swapped.state_dict()
    state |= {k: v for k, v in natural.state_dict().items() if k.startswith(coarse)}
    swapped.load_state_dict(state)
    return swapped


def _coarse_keys(generator: Generator) -> list[str]:
    """Beginnings of the names of what makes the rows of structure, and of the mapping network."""
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


def gram(features_NCHW: Tensor) -> Tensor:
    """Gram matrices (N, C, C) of feature maps, divided by their size."""
    flat = features_NCHW.float().flatten(2)
    return flat @ flat.transpose(1, 2) / flat[0].numel()


def optimised(perceptual: Perceptual, steps: int, working_px: int) -> Restyle:
    """Style transfer by optimisation of the photo's pixels (Gatys et al., 2016).

    The content is the photo's fourth feature map, the style the Gram matrices and means of the
    exemplar's first four. There is no face generator in it, so that shapes stay.

    Args:
        perceptual: frozen.
        steps: of Adam.
        working_px: what is optimised; the change is then enlarged onto the photo. At most the
            photo's own size.
    """

    def restyle(sitters: Sitters, styles: Styles, truncation: float) -> Tensor:
        size = min(working_px, sitters.image_NCHW.shape[-1])
        photo, exemplar = (at_size(x.image_NCHW, size) for x in (sitters, styles))
        change = _optimise_pixels(perceptual, photo, exemplar, steps) - photo
        return (sitters.image_NCHW + at_size(change, sitters.image_NCHW.shape[-1])).clamp(-1, 1)

    return restyle


def _optimise_pixels(
    perceptual: Perceptual, photo_NCHW: Tensor, exemplar_NCHW: Tensor, steps: int
) -> Tensor:
    with torch.no_grad():
        content = perceptual.features(photo_NCHW, 4)[CONTENT_STAGES]
        wanted = perceptual.features(exemplar_NCHW, 4)[STYLE_STAGES]
        grams = [gram(x) for x in wanted]
        scale = [g.square().mean() for g in grams]
    with torch.enable_grad():
        image = photo_NCHW.clone().requires_grad_(True)
        optimiser = torch.optim.Adam([image], lr=PIXEL_RATE)
        for _ in range(steps):
            found = perceptual.features(image.clamp(-1, 1), 4)
            loss = sum(
                (a.float() - b.float()).square().mean() / b.float().square().mean()
                for a, b in zip(found[CONTENT_STAGES], content, strict=True)
            )
            loss = loss + STYLE_WEIGHT * feature_matching(found[STYLE_STAGES], wanted).mean()
            for a, b, s in zip(found[STYLE_STAGES], grams, scale, strict=True):
                loss = loss + GRAM_WEIGHT * (gram(a) - b).square().mean() / s
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return image.detach().clamp(-1, 1)
