"""Measures of an evaluation: attributes of the person in results, codes and ideal results.

Legend of shape suffixes: C content face or channel, S exemplar, A attribute, N image, K landmark,
H, W.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from dualstylegan.codes.subsets import evenly_spaced
from dualstylegan.evaluation.attributes import attribute_table
from dualstylegan.evaluation.bootstrap import Array, Interval
from dualstylegan.evaluation.descriptions import ResultDescriptions
from dualstylegan.evaluation.eval_set import EvalSet, RestyleMethod
from dualstylegan.evaluation.extractor import FeatureExtractor
from dualstylegan.evaluation.pastiche import PasticheSet
from dualstylegan.evaluation.survival import AttributeTables, survivals
from dualstylegan.networks.masks import Mask

# Attributes of colour are also measured in the photo's own colours, in so many styles.
COLORED = ("hair_lightness", "skin_tone")
OWN_COLOR_STYLES = 3


def describe_attributes(
    extractor: FeatureExtractor, image_NCHW: Tensor, mask_N1HW: Mask = None
) -> Array:
    """Detect landmarks in uint8 images (N, 3, H, W), and measure attributes, (N, A)."""
    return attribute_table(image_NCHW, extractor.landmark_tables(image_NCHW), mask_N1HW)


def describe_grid(
    extractor: FeatureExtractor, image_CSCHW: Tensor, mask_C1HW: Mask = None
) -> Array:
    """Measure the attributes (C, S, A) of S uint8 images of each face."""
    shape = image_CSCHW.shape[:2]
    mask = None if mask_C1HW is None else mask_C1HW.repeat_interleave(shape[1], 0)
    return describe_attributes(extractor, image_CSCHW.flatten(0, 1), mask).reshape(*shape, -1)


def measure_attributes(
    extractor: FeatureExtractor,
    eval_set: EvalSet,
    results: ResultDescriptions,
    result_CSCHW: Tensor,
    rendered_CCHW: Tensor,
    pastiches: PasticheSet | None,
    own_color: RestyleMethod,
    *,
    seed: int,
    resamples: int,
) -> dict[str, Interval]:
    """Measure how far the attributes of the photos survive.

    Args:
        extractor: with the landmark model.
        eval_set: faces and exemplars.
        results: descriptions of the results, with their landmarks and those of the faces.
        result_CSCHW, rendered_CCHW: uint8 results, and g(code) of each face.
        pastiches: ideal results; None where there are none.
        own_color: the model at colour weight 0.
        seed, resamples: of the bootstrap.

    Returns:
        `attribute_*` of those that are defined, each with its `_code_line` and, where there are
        ideal results, `_ideal_line`; and `attribute_*_own_color` of attributes of colour.
    """
    bootstrap = {"seed": seed, "resamples": resamples}
    images_NCHW = result_CSCHW.flatten(0, 1)
    shape = result_CSCHW.shape[:2]
    faces_CK2 = results.references.faces_CK2
    tables = AttributeTables(
        attribute_table(eval_set.face_CCHW, faces_CK2, eval_set.face_mask_C1HW),
        describe_attributes(extractor, rendered_CCHW),
        attribute_table(images_NCHW, results.landmarks_NK2).reshape(*shape, -1),
    )
    figures = tables.survivals(**bootstrap)
    if pastiches is not None:
        ideal_CSA = describe_grid(extractor, pastiches.image_CSCHW, pastiches.mask_C1HW)
        ideal = survivals(tables.photo_CA[list(pastiches.faces)], ideal_CSA, **bootstrap)
        figures |= {f"{name}_ideal_line": figure for name, figure in ideal.items()}
    styles = evenly_spaced(len(eval_set.styles), OWN_COLOR_STYLES)
    own_CSA = describe_grid(extractor, _render(eval_set, own_color, styles))
    own = survivals(tables.photo_CA, own_CSA, **bootstrap)
    kept = {f"attribute_{name}": f"attribute_{name}_own_color" for name in COLORED}
    return figures | {kept[name]: figure for name, figure in own.items() if name in kept}


def _render(eval_set: EvalSet, method: RestyleMethod, styles: Sequence[int]) -> Tensor:
    """Render every face in some styles, by index, uint8 (C, S, 3, H, W)."""
    pairs = [(face, style) for face in range(len(eval_set.contents)) for style in styles]
    images_NCHW = eval_set.restyle_pairs(method, pairs)
    return images_NCHW.reshape(len(eval_set.contents), len(styles), *images_NCHW.shape[1:])
