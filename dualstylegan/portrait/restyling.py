"""Restyling of a photo that was read: the face alone, or all faces in their places.

Legend of shape suffixes: L row, D style width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from dualstylegan.errors import SettingsError
from dualstylegan.io.arrays import Floats, array_to_image
from dualstylegan.io.conversion import as_rgb
from dualstylegan.io.images import picture_digest
from dualstylegan.portrait.options import ReadOptions
from dualstylegan.portrait.result import Recipe, outcome_facts

if TYPE_CHECKING:
    from dualstylegan.faces.backgrounds import Background
    from dualstylegan.portrait.options import RestyleOptions
    from dualstylegan.portrait.restyler import Restyler
    from dualstylegan.portrait.sitter import Sitter
    from dualstylegan.portrait.style_choice import ChosenStyle


def restyle_sitter(
    model: Restyler,
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
    results = [
        array_to_image(restyle_code(model, face_code(model, sitter, index), style, options))
        for index in shown
    ]
    result = results[0] if photo is None else _pasted(sitter, results, photo, options.background)
    faces = [sitter.faces[index] for index in shown]
    recipe = Recipe(
        model.config,
        sitter.model_digest,
        sitter.photo_digest,
        style,
        options,
        ReadOptions(sitter.asked, faces[0].quad_Q2 is not None, faces[0].fit.steps),
        face if photo is None else None,
    )
    result.info.update(recipe.facts() | outcome_facts(sitter, faces, photo is not None))
    return result


def face_code(model: Restyler, sitter: Sitter, face: int) -> Floats:
    """Return the code (L, D) of a face in W+."""
    return model.networks.map(sitter.face(face).fit.code_LD)


def restyle_code(
    model: Restyler, face_LD: Floats, style: ChosenStyle, options: RestyleOptions
) -> Floats:
    """Render a face's code in W+ in a style, as (3, size, size) in [-1, 1]."""
    networks, style_LD = model.networks, style.code_LD
    if options.preserve_color:
        rows = networks.structure_rows
        style_LD = np.concatenate((style_LD[:rows], face_LD[rows:]))
    return networks.render(
        face_LD,
        style_LD,
        options.row_weights(networks, model.config.defaults),
        truncation=options.psi(model.config.defaults),
        size=options.size,
    )


def _pasted(
    sitter: Sitter, results: list[Image.Image], photo: Image.Image, background: Background
) -> Image.Image:
    """Put the results of all faces back into the photo, the largest on top.

    Raises:
        SettingsError: not the photo that was read, or it was read without alignment.
    """
    from dualstylegan.faces.paste import Pasted, paste_back

    rgb = as_rgb(photo)
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
