"""Measures at the model's full image size: agreement with small renderings, texture and mesh.

Legend of shape suffixes: N pair of a face and a style, C channel, H, W.

Training works at a smaller size, so no loss sees what the finest layers add. They could shift the
colours, render without detail, or render detail that no exemplar has; all of it is measured here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from dualstylegan.codes.inversion import resize_images
from dualstylegan.evaluation.bootstrap import Array, Interval, mean_interval
from dualstylegan.evaluation.eval_set import EvalSet, spread_pairs
from dualstylegan.evaluation.extractor import FeatureExtractor
from dualstylegan.evaluation.texture import TILE_PX, mesh, texture_distance
from dualstylegan.io.images import dequantize, image_to_tensor, quantize
from dualstylegan.networks.masks import Mask
from dualstylegan.portrait.model import PortraitModel

Pairs = Sequence[tuple[int, int]]
# Exemplar of a name, cropped like the others but at the resolution of its file.
Originals = Callable[[str], Image.Image]


def render_pairs(
    model: PortraitModel, eval_set: EvalSet, pairs: Pairs, size: int, styled: bool = True
) -> Tensor:
    """Render pairs of a face and a style, by index, as uint8 (N, 3, size, size).

    Args:
        model: packaged model.
        eval_set: faces and exemplars.
        pairs: indices of face and style.
        size: in pixels.
        styled: False renders the faces with g, without a style.
    """
    images = []
    for row, column in pairs:
        face = eval_set.code_CLD[row][None]
        style = eval_set.extrinsic_SLD[column][None] if styled else None
        rendered = model.render(face, style, truncation=eval_set.truncation, size=size)
        images.append(quantize(rendered).cpu())
    return torch.cat(images)


def measure_full_size(
    model: PortraitModel,
    eval_set: EvalSet,
    extractor: FeatureExtractor,
    pairs: int,
    size: int,
    *,
    originals: Originals,
    measure_size: int,
    seed: int,
    resamples: int,
) -> dict[str, Interval]:
    """Measure images of full size; return no figures if the model renders none above `size`.

    Nor is there a figure of textures where no exemplar is large enough to show one.

    `large_lpips`: LPIPS of the full-size image, reduced, to the one rendered at `size`.
    `large_texture`, `large_mesh`: see `measure_texture`.
    `texture`: texture distance at `size` from the exemplar at that size.

    Args:
        model: packaged model.
        eval_set: faces and exemplars.
        extractor: the measuring networks.
        pairs: number of images, evenly spread over faces and styles; 0 returns no figures.
        size: of the small images, in pixels.
        originals: exemplars at their own resolution.
        measure_size: in pixels; texture is what an image of this size cannot show.
        seed, resamples: of the bootstrap.
    """
    largest = max(model.generator.output_sizes)
    if not pairs or largest <= size:
        return {}
    chosen = spread_pairs(len(eval_set.contents), len(eval_set.styles), pairs)
    large, small = (render_pairs(model, eval_set, chosen, px) for px in (largest, size))
    faces = render_pairs(model, eval_set, chosen, largest, styled=False)
    reduced = torch.cat([quantize(resize_images(dequantize(x[None]), size)).cpu() for x in large])
    exemplars = [
        original_tensor(originals(eval_set.styles[column]), largest) for _, column in chosen
    ]
    values: dict[str, Array] = {"large_lpips": extractor.lpips(reduced, small)}
    columns = [column for _, column in chosen]
    mask = eval_set.exemplar_mask_S1HW
    masks = [None if mask is None else mask[column][None] for column in columns]
    values |= measure_texture(large, small, faces, exemplars, measure_size, masks)
    if size >= TILE_PX:
        aligned = eval_set.exemplar_SCHW[columns]
        values["texture"] = np.array(
            [
                texture_distance(dequantize(a[None]), dequantize(b[None]), measure_size, m)
                for a, b, m in zip(small, aligned, masks, strict=True)
            ]
        )
    return {
        name: mean_interval(np.asarray(found, np.float64), seed=seed, resamples=resamples)
        for name, found in values.items()
        # exemplars so small that none shows what is measured
        if np.isfinite(found).any()
    }


def original_tensor(image: Image.Image, largest: int) -> Tensor:
    """Return a square exemplar (1, 3, H, W) in [-1, 1] at its own size, `largest` at most."""
    return image_to_tensor(image, min(max(image.width, TILE_PX), largest))[None]


def measure_texture(
    large_NCHW: Tensor,
    small_NCHW: Tensor,
    face_NCHW: Tensor,
    exemplars: Sequence[Tensor],
    measure_size: int,
    masks: Sequence[Mask] = (),
) -> dict[str, Array]:
    """Measure texture and mesh (N,) of full-size results, in dB, with their reference values.

    Args:
        large_NCHW, small_NCHW: results of full size and rendered small, uint8.
        face_NCHW: g's own full-size images of the same faces, uint8.
        exemplars: the exemplar (1, 3, H, W) of each result at its own size, in [-1, 1].
        measure_size: in pixels; texture is what an image of this size cannot show.
        masks: of what lies inside of the exemplars' pictures, in any size; empty: all.
    """
    size = large_NCHW.shape[2:]
    names = ["large_mesh", "large_mesh_face_line", "large_mesh_exemplar_line"]
    names += ["large_texture", "large_texture_face_line", "large_texture_small_line"]
    rows = []
    known = masks or [None] * len(exemplars)
    for image, reduced, face, exemplar, mask in zip(
        large_NCHW, small_NCHW, face_NCHW, exemplars, known, strict=True
    ):
        result, plain = dequantize(image[None]), dequantize(face[None])
        enlarged = F.interpolate(dequantize(reduced[None]), size, mode="bicubic")
        rows.append(
            [mesh(result), mesh(plain), mesh(exemplar, mask)]
            + [texture_distance(x, exemplar, measure_size, mask) for x in (result, plain, enlarged)]
        )
    return dict(zip(names, np.array(rows).T, strict=True))
