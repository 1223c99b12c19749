"""Restyling of a photo that was read: the face alone, or all faces in their places.

Legend of shape suffixes: L row, D style width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor

from dualstylegan.errors import SettingsError
from dualstylegan.io.images import picture_digest, tensor_to_image
from dualstylegan.portrait.rendering import map_styles, render_codes
from dualstylegan.portrait.result import result_facts

if TYPE_CHECKING:
    from dualstylegan.faces.backgrounds import Background
    from dualstylegan.portrait.model import PortraitModel
    from dualstylegan.portrait.options import RestyleOptions
    from dualstylegan.portrait.sitter import Sitter
    from dualstylegan.portrait.style_choice import ChosenStyle


def restyle_sitter(
    model: PortraitModel,
    sitter: Sitter,
    style: ChosenStyle,
    options: RestyleOptions,
    face: int,
    photo: Image.Image | None,
) -> Image.Image:
    """Restyle a face of a sitter, or all of them within the photo, see `PortraitModel.restyle`.

    Args:
        model: the model that read the sitter.
        sitter: the photo as it was read.
        style: the style.
        options: checked already.
        face: index of the face.
        photo: to put every face back into; None returns the one face.
    """
    sitter.check_model(model.digest)
    shown = [face] if photo is None else list(range(len(sitter.faces)))
    codes = [sitter.face(index).fit.code_LD.to(model.device) for index in shown]
    results = [restyle_code(model, code_LD, style, options) for code_LD in codes]
    result = results[0] if photo is None else _pasted(sitter, results, photo, options.background)
    facts = result_facts(model.config, sitter, shown, style, options, photo is not None)
    result.info.update(facts)
    return result


def restyle_code(
    model: PortraitModel, code_LD: Tensor, style: ChosenStyle, options: RestyleOptions
) -> Image.Image:
    """Render a face's code in Z+ in a style."""
    style_LD = style.code_LD
    if options.preserve_color:
        rows = model.generator.structure_rows
        own_LD = map_styles(model.network, code_LD[None])[0]
        style_LD = torch.cat((style_LD[:rows], own_LD[rows:]))
    picture = render_codes(
        model.network,
        code_LD[None],
        style_LD[None],
        model.row_weights(options),
        truncation=options.psi(model.config.defaults),
        size=options.size,
    )
    return tensor_to_image(picture[0])


def _pasted(
    sitter: Sitter, results: list[Image.Image], photo: Image.Image, background: Background
) -> Image.Image:
    """Put the results of all faces back into the photo, the largest on top.

    Raises:
        SettingsError: not the photo that was read, or it was read without alignment.
    """
    from dualstylegan.faces.paste import Pasted, paste_back

    rgb = photo.convert("RGB")
    if rgb.size != sitter.photo_size or picture_digest(rgb) != sitter.photo_digest:
        raise SettingsError(
            "not the photo that was read",
            value="{} x {}".format(*rgb.size),
            limit="{} x {}".format(*sitter.photo_size),
            fix="give the photo itself, as it was",
        )
    faces: list[Pasted] = []
    for face, result in zip(sitter.faces, results, strict=True):
        if face.quad_Q2 is None:
            raise SettingsError("pasting back needs the alignment", fix="leave `align` on")
        faces.append(Pasted(result, face.quad_Q2))
    others = [other.box for other in sitter.left_out]
    return paste_back(rgb, faces, background=background, others=others)
