"""Add one portrait to a trained model as a new style, without training.

Legend of shape suffixes: S style, L row, D style width.

The steps are those of the pipeline, on one portrait: z_e+ by inversion into Z+; z_i+ by rendering
z_e+ truncated with g and encoding the result (destylization with g in place of g', which the model
folder does not hold); refinement of z_e+ on the trained network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from dualstylegan.codes.destylization import naturalise
from dualstylegan.codes.fitting import FitNetworks, FitSettings, fit
from dualstylegan.codes.inversion import OptimizationSchedule, resize_images
from dualstylegan.codes.refinement import refine
from dualstylegan.faces.frame import Array
from dualstylegan.io.conversion import as_rgb
from dualstylegan.io.images import thumbnail
from dualstylegan.io.names import safe_name, well_formed
from dualstylegan.networks.masks import framed_image
from dualstylegan.portrait.config import check_new_name
from dualstylegan.portrait.model import PortraitModel
from dualstylegan.portrait.sizes import centre_square
from dualstylegan.portrait.styles import StyleLibrary

THUMBNAIL_PX = 128
WORKING_PX = 128
FACE_PX = 256


@dataclass(frozen=True)
class AddStyleSettings:
    """Optimisation of a new exemplar's codes.

    Attributes:
        invert_steps, refine_steps: steps of inversion and of refinement. Without inversion,
            refinement starts from E's code, on which the extrinsic path was trained.
        rate, pixel_weight: learning rate and weight of the pixel loss of inversion.
        structure_rate, color_rate: learning rates of refinement.
    """

    invert_steps: int = 0
    refine_steps: int = 80
    rate: float = 0.1
    pixel_weight: float = 0.2
    structure_rate: float = 0.03
    color_rate: float = 0.05

    def fit_settings(self, size: int) -> FitSettings:
        """Return the settings of inversion at `size` pixels."""
        return FitSettings.of_painting(size, self.invert_steps, self.rate, self.pixel_weight)


@dataclass(frozen=True)
class AddedStyle:
    """Result of `add_style`.

    Attributes:
        model: the given model with one more style; it shares the networks.
        loss_before, loss_after: loss of the reconstruction G(z_i+, z_e+, 1) before and after
            refinement.
    """

    model: PortraitModel
    loss_before: float
    loss_after: float


def add_style(
    model: PortraitModel,
    name: str,
    portrait: Image.Image,
    *,
    align: bool = True,
    frame: Array | None = None,
    settings: AddStyleSettings = AddStyleSettings(),
    progress: Callable[[str, int, int], None] = lambda phase, done, total: None,
) -> AddedStyle:
    """Add a portrait to a model as a style; the given model does not change.

    Args:
        model: a trained model.
        name: any text; where it cannot be a file name, the style's name is derived from it
            (`safe_name`) and the text is its label.
        portrait: an artistic portrait.
        align: find the face and crop it as FFHQ does; False takes the centre square.
        frame: with `align` off, the frame (4, 2) of the picture in an aligned portrait, as
            `AlignedFace` has it; what lies outside does not count. None: all is inside.
        settings: steps, rates and weights of the optimisation.
        progress: called with the phase ("inversion" or "refinement"), the steps done and their
            total.

    Raises:
        SettingsError: the name is blank or taken.
        FaceError: no usable face.
        WeightsError: the face models or LPIPS weights are missing.
    """
    check_new_name(model.config, name)
    face, frame = _face(model, portrait, align, frame)
    size = model.generator.size_up_to(WORKING_PX)
    pixels = max(FACE_PX, size)
    image, mask = framed_image(face, frame, pixels, model.device)
    fitted = fit(
        FitNetworks(model.generator, model.encoder, model.lpips()),
        image,
        settings.fit_settings(size),
        progress=lambda step: progress("inversion", step, settings.invert_steps),
        mask_N1HW=mask,
    ).code_NLD
    _, natural = naturalise(model.generator, model.encoder, fitted, fitted, size)
    refined = refine(
        model.network,
        model.lpips(),
        resize_images(image, size),
        natural,
        fitted,
        OptimizationSchedule(settings.refine_steps),
        structure_rate=settings.structure_rate,
        color_rate=settings.color_rate,
        progress=lambda step: progress("refinement", step, settings.refine_steps),
        mask_N1HW=mask,
    )
    return AddedStyle(
        with_style(model, name, refined.latents[0], natural, face),
        float(refined.initial_loss_N[0]),
        float(refined.loss_N[0]),
    )


def with_style(
    model: PortraitModel, name: str, extrinsic_1LD: Tensor, intrinsic_1LD: Tensor, face: Image.Image
) -> PortraitModel:
    """Return the model with one more style of known codes; networks are shared."""
    label, name = well_formed(name), safe_name(name)
    styles = StyleLibrary(
        (*model.styles.names, name),
        torch.cat((model.styles.extrinsic_SLD, extrinsic_1LD.detach())),
        torch.cat((model.styles.intrinsic_SLD, intrinsic_1LD.detach())),
        {**model.styles.labels, **({} if label == name else {name: label})},
    )
    config = {
        "styles": styles.names,
        # the same photo keeps its code
        "fit_styles": model.config.fit_styles or model.styles.names,
        "labels": dict(styles.labels),
    }
    return PortraitModel(
        model.config.model_copy(update=config),
        model.network,
        model.encoder,
        styles,
        sampler=model.sampler,
        licence=model.licence,
        card=model.card,
        card_images=model.card_images,
        thumbnails={**model.thumbnails, name: thumbnail(face, THUMBNAIL_PX)},
        weights_dir=model.weights_dir,
    )


def _face(
    model: PortraitModel, portrait: Image.Image, align: bool, frame: Array | None
) -> tuple[Image.Image, Array | None]:
    """Return the aligned face, and the frame of its picture."""
    photo = as_rgb(portrait)
    if not align:
        return centre_square(photo), frame
    aligned = model.align(photo)
    return aligned.image, aligned.frame
