"""Attributes of the person that the packaged model loses, and the faces that show it.

Legend of shape suffixes: F face, S style, A attribute, N image, C channel, H, W.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from dualstylegan.codes.subsets import evenly_spaced_subset
from dualstylegan.evaluation.attributes import ATTRIBUTES, attribute_table
from dualstylegan.evaluation.bootstrap import RESAMPLES, Array
from dualstylegan.evaluation.survival import AttributeTables
from dualstylegan.faces.plausible import PlausibleLandmarks
from dualstylegan.io.images import dequantize, make_grid, quantize, tensor_to_image, thumbnail
from dualstylegan.networks.masks import Mask, framed_image, masks_of
from dualstylegan.portrait.card import NO_LOSSES, Loss, Losses
from dualstylegan.portrait.model import PortraitModel
from tasks.shared.fits import CARD_PX, CodedFace, card_size
from tasks.shared.paths import Paths

# Faces and styles that are compared, evenly spaced over all; a result costs 0.35 CPU-seconds.
FACES, STYLES = 24, 4
# Faces that the picture shows per attribute.
SHOWN = 2
SEED = 0


def measure_losses(
    model: PortraitModel, faces: Sequence[CodedFace], *, pictured: bool
) -> tuple[Losses, bytes | None]:
    """Measure how far the attributes of content faces survive in results.

    Args:
        model: the packaged model.
        faces: content faces.
        pictured: make the picture, which shows some of the faces.

    Returns:
        The attributes that are defined, the one that is lost most first; and a JPEG sheet with a
        row for each: photo, g(code) and result of the faces that lose it most. None without.
    """
    faces = evenly_spaced_subset(faces, FACES)
    # the order of the fit is a shuffled one: neighbours in the alphabet often look alike
    styles = evenly_spaced_subset(model.config.fit_styles or model.styles.names, STYLES)
    result_FSCHW = render_results(model, faces, styles)
    tables = describe(faces, result_FSCHW, card_size(model))
    figures = tables.survivals(seed=SEED, resamples=RESAMPLES)
    found = []
    for index, attribute in enumerate(ATTRIBUTES):
        name = f"attribute_{attribute.name}"
        if name in figures:
            kept, code = figures[name], figures.get(f"{name}_code_line")
            values = math.nan if code is None else code.value, kept.value, kept.low, kept.high
            found.append((index, Loss(attribute.label, attribute.meaning, *values)))
    if not found:
        return NO_LOSSES, None
    found.sort(key=lambda pair: pair[1].result)
    losses = Losses(len(faces), len(styles), tuple(loss for _, loss in found), pictured)
    if not pictured:
        return losses, None
    rows = [(loss.label, tables.most_lost(index, min(SHOWN, len(faces)))) for index, loss in found]
    labels = [model.config.labels.get(style, style) for style in styles]
    return losses, picture(faces, labels, result_FSCHW, rows)


def render_results(
    model: PortraitModel, faces: Sequence[CodedFace], styles: Sequence[str]
) -> Tensor:
    """Render faces in styles at the model's default weights, uint8 (F, S, 3, H, W)."""
    extrinsic_SLD = model.styles.extrinsic_of(styles)
    size = card_size(model)
    rows = []
    for face in faces:
        code_SLD = face.code_LD[None].expand(len(styles), -1, -1)
        rows.append(quantize(model.render(code_SLD, extrinsic_SLD, size=size)).cpu())
    return torch.stack(rows)


def describe(faces: Sequence[CodedFace], result_FSCHW: Tensor, size: int) -> AttributeTables:
    """Measure the attributes of photos, of g(code) and of results, uint8 (F, S, 3, H, W)."""
    landmarks = PlausibleLandmarks(Paths.weights)

    def attributes(image_NCHW: Tensor, mask_N1HW: Mask = None) -> Array:
        return attribute_table(image_NCHW, [landmarks(x) for x in image_NCHW], mask_N1HW)

    cpu = torch.device("cpu")
    photos = [framed_image(face.photo, face.frame, size, cpu)[0] for face in faces]
    codes = [framed_image(face.rendered, None, size, cpu)[0] for face in faces]
    counts = result_FSCHW.shape[:2]
    return AttributeTables(
        attributes(quantize(torch.cat(photos)), masks_of([face.frame for face in faces], size)),
        attributes(quantize(torch.cat(codes))),
        attributes(result_FSCHW.flatten(0, 1)).reshape(*counts, len(ATTRIBUTES)),
    )


def picture(
    faces: Sequence[CodedFace],
    styles: Sequence[str],
    result_FSCHW: Tensor,
    rows: Sequence[tuple[str, Sequence[tuple[int, int]]]],
) -> bytes:
    """Lay out photo, g(code) and result of some pairs, a row per attribute, as a JPEG sheet.

    Args:
        faces: in the order of the results.
        styles: labels, in the order of the results.
        result_FSCHW: uint8.
        rows: label of each attribute, and indices of face and style.
    """
    cells: list[Image.Image] = []
    labels = []
    for label, pairs in rows:
        for face, style in pairs:
            result = tensor_to_image(dequantize(result_FSCHW[face, style]))
            cells += [faces[face].photo, faces[face].rendered, result]
            labels += [label, f"g(code) of {faces[face].name}", styles[style]]
    first = cells[0].resize((CARD_PX, CARD_PX), Image.Resampling.LANCZOS)  # sets all sizes
    sheet = make_grid([first, *cells[1:]], 3 * len(rows[0][1]), labels)
    return thumbnail(sheet, max(sheet.size))
