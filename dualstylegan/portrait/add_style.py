"""A new exemplar at run time: one portrait becomes a style of a trained model, without training.

Legend of shape suffixes: N image, S style, L row, D style width, C channel, H height, W width.

The steps are those of the pipeline, on one portrait: z_e+ by inversion into Z+, z_i+ by rendering
it truncated with g and encoding again (destylization with g in place of g', which the model does
not carry), and refinement of z_e+ on the trained network.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from dualstylegan.codes.destylization import naturalise
from dualstylegan.codes.inversion import DescentPlan, at_size, encode, invert
from dualstylegan.codes.refinement import refine
from dualstylegan.errors import SettingsError
from dualstylegan.io.images import image_to_tensor, thumbnail
from dualstylegan.networks.loading import load_perceptual
from dualstylegan.portrait.model import PortraitModel, centre_square
from dualstylegan.portrait.styles import StyleLibrary

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_. -]{0,99}")
THUMBNAIL_PX = 128
WORKING_PX = 128
FACE_PX = 256


@dataclass(frozen=True)
class EnrolmentPlan:
    """How long the codes of a new exemplar are optimised.

    Attributes:
        invert_steps, refine_steps: steps of inversion and of refinement.
        rate, pixel_weight: of inversion.
        structure_rate, color_rate: of refinement.
    """

    invert_steps: int = 60
    refine_steps: int = 40
    rate: float = 0.1
    pixel_weight: float = 0.2
    structure_rate: float = 0.005
    color_rate: float = 0.05


@dataclass(frozen=True)
class Enrolled:
    """What was found.

    Attributes:
        model: with one style more; networks and earlier styles are the given model's.
        loss_before, loss_after: of the reconstruction G(z_i+, z_e+, 1), in refinement.
    """

    model: PortraitModel
    loss_before: float
    loss_after: float


def enrol(
    model: PortraitModel,
    name: str,
    portrait: Image.Image,
    *,
    align: bool = True,
    plan: EnrolmentPlan = EnrolmentPlan(),
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Enrolled:
    """Make a portrait a style of the model.

    Args:
        model: trained.
        name: of the new style.
        portrait: an artistic portrait.
        align: find the face and crop it as FFHQ does; off takes the centre square.
        plan: how long.
        progress: told what is done, and how many steps of how many.

    Raises:
        SettingsError: the name is taken or no name.
        FaceError: no usable face.
    """
    _check_name(model, name)
    face = _face(model, portrait, align)
    sizes = model.generator.output_sizes
    size = max((px for px in sizes if px <= WORKING_PX), default=min(sizes))
    image = image_to_tensor(face, max(FACE_PX, size))[None].to(model.device)
    perceptual = load_perceptual(model.weights_dir).to(model.device)
    perceptual.vgg.compute_dtype = model.generator.compute_dtype
    target = at_size(image, size)
    fitted = invert(
        model.generator,
        perceptual,
        target,
        encode(model.encoder, image),
        DescentPlan(plan.invert_steps),
        space="z_plus",
        rate=plan.rate,
        pixel_weight=plan.pixel_weight,
        progress=lambda step: progress("inversion", step, plan.invert_steps),
    ).latents[0]
    _, natural = naturalise(model.generator, model.encoder, fitted, fitted, size)
    refined = refine(
        model.network,
        perceptual,
        target,
        natural,
        fitted,
        DescentPlan(plan.refine_steps),
        structure_rate=plan.structure_rate,
        color_rate=plan.color_rate,
        progress=lambda step: progress("refinement", step, plan.refine_steps),
    )
    return Enrolled(
        with_style(model, name, refined.latents[0], natural, face),
        float(refined.first_loss_N[0]),
        float(refined.loss_N[0]),
    )


def with_style(
    model: PortraitModel, name: str, extrinsic_1LD: Tensor, intrinsic_1LD: Tensor, face: Image.Image
) -> PortraitModel:
    """The model with one style more; networks are shared."""
    styles = StyleLibrary(
        (*model.styles.names, name),
        torch.cat((model.styles.extrinsic_SLD, extrinsic_1LD.detach())),
        torch.cat((model.styles.intrinsic_SLD, intrinsic_1LD.detach())),
    )
    return PortraitModel(
        model.config.model_copy(update={"styles": styles.names}),
        model.network,
        model.encoder,
        styles,
        sampler=model.sampler,
        card=model.card,
        thumbnails={**model.thumbnails, name: thumbnail(face, THUMBNAIL_PX)},
        weights_dir=model.weights_dir,
    )


def _check_name(model: PortraitModel, name: str) -> None:
    if name in model.styles.names:
        raise SettingsError("the style is there already", value=name, fix="give another name")
    if not NAME.fullmatch(name):
        raise SettingsError(
            "no name for a style",
            value=name,
            limit="letters, digits, blanks and _ . - ; at most 100",
        )


def _face(model: PortraitModel, portrait: Image.Image, align: bool) -> Image.Image:
    if not align:
        return centre_square(portrait.convert("RGB"))
    from dualstylegan.faces.align import align_face

    return align_face(portrait.convert("RGB"), FACE_PX, weights_dir=model.weights_dir).image
