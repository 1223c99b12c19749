"""Pasting of restyled FFHQ crops back into their photo, so that no box shows.

Legend of shape suffixes: Q corner of a quad, 2 x and y in pixels, C channel, H height, W width.

The restyled head replaces the photo's head. Photo and result each have a matte of their head, and a
plate: what their background would be without it, filled in from around. The restyled head before
the photo's background is

    result + (1 - matte of the result) * (plate of the photo - plate of the result),

which is the photo where the result is the photo. Where head or hair leave the crop, and below the
chin, result and photo blend: coarse content over a wide zone, detail over a narrow one (Burt and
Adelson, 1983). Nothing changes where neither shows a head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dualstylegan.errors import ImageError
from dualstylegan.faces.backgrounds import Background
from dualstylegan.faces.filters import Map, blurred, box_mean, image_planes, ramp
from dualstylegan.faces.frame import Array, push_pull
from dualstylegan.faces.geometry import crop_quad, quad_side
from dualstylegan.faces.matte import FACE, head_mattes, inside_ellipse
from dualstylegan.faces.palette import color_transport, mean_transport

Box = tuple[float, float, float, float]

# Zones in shares of the crop's side: by the distance from an edge, and by the height.
EDGE = (0.005, 0.045)
EDGE_WIDE = (0.005, 0.125)
EDGE_STYLE, EDGE_STYLE_WIDE = (0.0, 0.16), (0.0, 0.34)
# Exponent of the superellipse that rounds the crop's corners.
ROUNDNESS = 5
# Height at which the photo's shoulders take over, below the chin and at the sides, which lie so far
# from the middle; half the height of the zone for detail, and the height of the one for the coarse.
CHIN_LINE, SIDE_LINE = 0.94, 0.81
SIDES = (0.18, 0.38)
LINE_HALF, LINE_WIDE = 0.035, 0.17
COARSE_SHARE = 0.02
# Matte above which a pixel counts as touched by a head, and below which it shows background alone.
TOUCHED = 0.04
EMPTY = 0.02
# Difference of photo and result, in levels of 255, up to which the photo's finer detail is kept.
ALIKE = 6.0
SAMPLE_PX = 64
# Background around a head that is left out of its plate, and replaced: its outline colours it.
RIM_SHARE = 0.012
# Distances from the centre of another face, in those to its box, within which it stays.
STAYS = (1.15, 1.5)
# Surroundings of a quad, in its sides, that resampling it reads.
REGION_SHARE = 0.15
BAND_ROWS = 256


@dataclass(frozen=True)
class Pasted:
    """Restyled face and its place.

    Attributes:
        result: restyled crop, square, of any size.
        quad_Q2: corners of the crop in the photo: top left, bottom left, bottom right, top right.
        crop: the photo's crop by `crop_quad`, where it is at hand in the size that is needed.
        steady: makes the mattes of a video steady, see `head_mattes`.
    """

    result: Image.Image
    quad_Q2: Array
    crop: Image.Image | None = None
    steady: Callable[[Map], Map] | None = None

    @property
    def face_Q2(self) -> Array:
        """Corners (4, 2) of the box around the face itself in the photo."""
        x, y, half_width, half_height = FACE
        across, down = self.quad_Q2[3] - self.quad_Q2[0], self.quad_Q2[1] - self.quad_Q2[0]
        corners = [(-1, -1), (-1, 1), (1, 1), (1, -1)]
        points = [(x + i * half_width, y + j * half_height) for i, j in corners]
        return np.stack([self.quad_Q2[0] + u * across + v * down for u, v in points])


def paste_back(
    photo: Image.Image,
    faces: Sequence[Pasted],
    *,
    background: Background = "keep",
    others: Sequence[Box] = (),
) -> Image.Image:
    """Paste restyled faces into their photo, the smallest first; return a new image.

    Args:
        photo: RGB; not changed.
        faces: restyled faces, in any order.
        background: "keep" replaces heads alone; "style" brings the results' backgrounds too, which
            fade into the rest of the photo, whose palette follows the results'.
        others: boxes around faces of the photo that stay as they are: left, top, right, bottom.

    Raises:
        ImageError: a quad lies outside of the photo.
    """
    regions = [_region(photo, face.quad_Q2) for face in faces]
    output = photo.convert("RGB")
    if output is photo:
        output = photo.copy()
    if background == "style":
        output = _in_palette(output, faces)
    for i in sorted(range(len(faces)), key=lambda i: quad_side(faces[i].quad_Q2)):
        low, high = regions[i]
        box = (*low.tolist(), *high.tolist())
        part = output.crop(box)
        quad_Q2 = faces[i].quad_Q2 - low
        kept = [_corners(other) - low for other in others]
        kept += [face.face_Q2 - low for j, face in enumerate(faces) if j != i]
        change = _restyled if background == "style" else _replaced_head
        output.paste(change(part, faces[i], quad_Q2, kept), box[:2])
    return output


def _corners(box: Box) -> Array:
    left, top, right, bottom = box
    return np.array([(left, top), (left, bottom), (right, bottom), (right, top)])


def _region(photo: Image.Image, quad_Q2: Array) -> NDArray[np.int_]:
    """Return the corners (2, 2) of the part of a photo that a crop lies in."""
    low = np.maximum(np.floor(quad_Q2.min(0)).astype(int), 0)
    high = np.minimum(np.ceil(quad_Q2.max(0)).astype(int), photo.size)
    if (high <= low).any():
        raise ImageError(
            "the crop lies outside of the photo",
            value=quad_Q2.tolist(),
            limit=photo.size,
            fix="give the photo that the face was cut out of",
        )
    margin = round(REGION_SHARE * quad_side(quad_Q2)) + 4
    return np.stack((np.maximum(low - margin, 0), np.minimum(high + margin, photo.size)))


def _in_palette(photo: Image.Image, faces: Sequence[Pasted]) -> Image.Image:
    """Return the photo with the change of palette that the results make of their crops."""
    transports = []
    for face in faces:
        low, high = _region(photo, face.quad_Q2)
        part = photo.crop((*low.tolist(), *high.tolist()))
        pair = _aligned(part, face, face.quad_Q2 - low)
        samples = [image.resize((SAMPLE_PX, SAMPLE_PX), Image.Resampling.BOX) for image in pair]
        target_P3, source_P3 = (np.asarray(i, float).reshape(-1, 3) for i in samples)
        transports.append(color_transport(source_P3, target_P3))
    return mean_transport(transports).recolored(photo) if transports else photo


def _replaced_head(
    part: Image.Image, face: Pasted, quad_Q2: Array, kept: Sequence[Array]
) -> Image.Image:
    """Return a part of the photo whose head is replaced by the result's."""
    result, crop = _aligned(part, face, quad_Q2)
    photo_HW, result_HW = head_mattes((crop, result), face.steady)
    photo_CHW, result_CHW = image_planes(crop), image_planes(result)
    plates_CHW = _plate(photo_CHW, photo_HW) - _plate(result_CHW, result_HW)
    change_CHW = result_CHW + (1 - result_HW) * plates_CHW - photo_CHW
    touched_HW = _touched(np.maximum(photo_HW, result_HW)) * _free(quad_Q2, kept, result.width)
    detail_HW, coarse_HW = (touched_HW * zone_HW for zone_HW in _head_zones(result.width))
    return _blend(part, quad_Q2, photo_CHW, change_CHW, detail_HW, coarse_HW)


@lru_cache(maxsize=4)
def _head_zones(size: int) -> tuple[Map, Map]:
    """Return the shares (size, size) of a crop, for detail and coarse content, that heads take."""
    line_HW = _shoulder_line(size)
    height_HW = ((np.arange(size, dtype=np.float32) + 0.5) / size)[:, None]
    edge_HW = _edge_distance(size)
    detail_HW = ramp(height_HW, line_HW + LINE_HALF, line_HW - LINE_HALF) * ramp(edge_HW, *EDGE)
    coarse_HW = ramp(height_HW, line_HW + LINE_HALF, line_HW - LINE_WIDE)
    return detail_HW, coarse_HW * ramp(edge_HW, *EDGE_WIDE)


def _restyled(
    part: Image.Image, face: Pasted, quad_Q2: Array, kept: Sequence[Array]
) -> Image.Image:
    """Return a part of the photo into which the whole result fades."""
    result, crop = _aligned(part, face, quad_Q2)
    photo_CHW, result_CHW = image_planes(crop), image_planes(result)
    edge_HW, free_HW = _edge_distance(result.width), _free(quad_Q2, kept, result.width)
    detail_HW, coarse_HW = (free_HW * ramp(edge_HW, *e) for e in (EDGE_STYLE, EDGE_STYLE_WIDE))
    return _blend(part, quad_Q2, photo_CHW, result_CHW - photo_CHW, detail_HW, coarse_HW)


def _aligned(part: Image.Image, face: Pasted, quad_Q2: Array) -> tuple[Image.Image, Image.Image]:
    """Return result and photo's crop in one size: the result's, or the crop's in the photo."""
    size = min(face.result.width, max(1, round(quad_side(quad_Q2))))
    result = face.result.convert("RGB").resize((size, size), Image.Resampling.LANCZOS)
    if face.crop is not None and face.crop.width == size:
        return result, face.crop
    return result, crop_quad(part, quad_Q2, size)


def _plate(image_CHW: Map, matte_HW: Map) -> Map:
    """Return an image without its head, filled in from what is around."""
    filled_HW = box_mean((matte_HW >= EMPTY).astype(np.float32), _rim(matte_HW))
    empty_HW = filled_HW == 0
    if not empty_HW.any():
        return image_CHW
    return push_pull(image_CHW, empty_HW.astype(np.float32))


def _touched(matte_HW: Map) -> Map:
    """Return the share (H, W) in which each place belongs to a head or its rim, 0 to 1."""
    head_HW = (matte_HW / TOUCHED).clip(0, 1)
    near_HW = (2 * box_mean(head_HW, _rim(matte_HW))).clip(0, 1)
    touched: Map = np.maximum(head_HW, near_HW)
    return touched


def _rim(matte_HW: Map) -> int:
    return max(1, round(RIM_SHARE * len(matte_HW)))


def _edge_distance(size: int) -> Map:
    """Return the distance (size, size) of each place to the edge in sides, of rounded corners."""
    shares = (np.arange(size, dtype=np.float32) + 0.5) / size
    aside = np.abs(2 * shares - 1) ** ROUNDNESS
    distance: Map = (1 - (aside[:, None] + aside[None, :]) ** (1 / ROUNDNESS)) / 2
    return distance


def _shoulder_line(size: int) -> Map:
    """Return the height (1, size), in sides, at which the photo's neck and shoulders go on."""
    aside = np.abs((np.arange(size, dtype=np.float32) + 0.5) / size - 0.5)[None, :]
    return CHIN_LINE + (SIDE_LINE - CHIN_LINE) * ramp(aside, *SIDES)


def _free(quad_Q2: Array, kept: Sequence[Array], size: int) -> Map:
    """Return the share (size, size) of a crop that no other face needs; its own face comes first.

    Args:
        quad_Q2: of the crop.
        kept: boxes (4, 2) of other faces, in pixels of the same image.
        size: in pixels.
    """
    free_HW: Map = np.ones((size, size), np.float32)
    if not kept:
        return free_HW
    own_HW: Map = 1 - ramp(inside_ellipse(FACE, size), *STAYS)
    shares = (np.arange(size) + 0.5) / size
    across, down = quad_Q2[3] - quad_Q2[0], quad_Q2[1] - quad_Q2[0]
    place_HW2 = quad_Q2[0] + shares[None, :, None] * across + shares[:, None, None] * down
    for box_Q2 in kept:
        axes_22 = np.stack((box_Q2[3] - box_Q2[0], box_Q2[1] - box_Q2[0]))
        offset_HW2 = 2 * (place_HW2 - box_Q2.mean(0)) @ np.linalg.inv(axes_22)
        distance_HW = np.linalg.norm(offset_HW2, axis=2).astype(np.float32)
        free_HW = free_HW * ramp(distance_HW, *STAYS)
    return np.maximum(free_HW, own_HW)


def _blend(
    part: Image.Image,
    quad_Q2: Array,
    photo_CHW: Map,
    change_CHW: Map,
    detail_HW: Map,
    coarse_HW: Map,
) -> Image.Image:
    """Add a change to a part of the photo, band by band of rows.

    Where the result replaces the photo, the photo's detail beyond the crop's resolution goes; where
    the result shows what the photo shows, it stays.

    Args:
        part, quad_Q2: the part, and the crop's corners in it.
        photo_CHW, change_CHW: the crop, and the change of it, in levels of 255.
        detail_HW, coarse_HW: weight of the change's detail and of its coarse content, 0 to 1.
    """
    size = change_CHW.shape[-1]
    low_CHW = np.stack([blurred(plane_HW, COARSE_SHARE * size) for plane_HW in change_CHW])
    added_CHW = coarse_HW * low_CHW + detail_HW * (change_CHW - low_CHW)
    replaced_HW = detail_HW * ramp(blurred(np.abs(change_CHW).max(0), 2), 0, 2 * ALIKE)
    layers = [Image.fromarray(x) for x in (*(added_CHW + replaced_HW * photo_CHW), replaced_HW)]
    output = part.copy()
    low = np.maximum(np.floor(quad_Q2.min(0)).astype(int), 0).tolist()
    high = np.minimum(np.ceil(quad_Q2.max(0)).astype(int), part.size).tolist()
    for top in range(low[1], high[1], BAND_ROWS):
        box = (low[0], top, high[0], min(top + BAND_ROWS, high[1]))
        affine, extent = _affine(quad_Q2 - box[:2], size), (box[2] - box[0], box[3] - box[1])
        *shown, share_HW = (
            np.asarray(
                layer.transform(extent, Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR)
            )
            for layer in layers
        )
        blended_CHW = (1 - share_HW) * image_planes(part.crop(box)) + np.stack(shown)
        levels_CHW = np.rint(blended_CHW).clip(0, 255).astype(np.uint8)
        band = Image.fromarray(np.ascontiguousarray(np.moveaxis(levels_CHW, 0, 2)))
        output.paste(band, box[:2])
    return output


def _affine(quad_Q2: Array, side: int) -> tuple[float, ...]:
    """Return PIL's affine coefficients from pixels of the target to a square of `side` pixels."""
    origin = quad_Q2[0]
    basis = np.stack((quad_Q2[3] - origin, quad_Q2[1] - origin), 1)
    inverse = np.linalg.inv(basis) * side
    offset = -inverse @ origin
    return (*inverse[0].tolist(), float(offset[0]), *inverse[1].tolist(), float(offset[1]))
