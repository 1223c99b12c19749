"""Measures against ideal results: pastiches of the same faces in the same styles.

Legend of shape suffixes: C face and S exemplar that have pastiches, P pair of them or of two faces,
E identity width, H, W.

Where a style is a known process, the process itself tells what a perfect restyling is: it is
applied to the face. A result is compared with that picture, and not with the photo alone, from
which a perfect restyling is far itself. An exaggerated and painted face is compared with another
one of the same style, so that paint and exaggeration, which they share, do not count as likeness.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dualstylegan.evaluation.bootstrap import Array, Interval, mean_interval
from dualstylegan.evaluation.eval_set import EvalSet, Progress, ring_pairs
from dualstylegan.evaluation.extractor import FeatureExtractor
from dualstylegan.evaluation.kid import kid_of_results
from dualstylegan.evaluation.measures import exemplar_distances
from dualstylegan.io.images import image_to_tensor, quantize
from dualstylegan.networks.masks import Mask
from dualstylegan.networks.style_embedding import Description

# Ideal results by the names of face and exemplar.
Pastiches = Mapping[tuple[str, str], Image.Image]

MIN_FACES = 2
# Fewest styles between which there is a kernel distance.
MIN_STYLES = 2
# Pairs of faces per style that tell what another person's pastiche scores.
OTHER_PAIRS = 48


@dataclass(frozen=True)
class PasticheSet:
    """Pastiches of an evaluation set: every one of some faces in every one of some styles.

    Attributes:
        faces, styles: indices of the C faces and S exemplars in the evaluation set.
        image_CSCHW: uint8.
        identity_CSE: FaceNet's descriptors.
        mask_C1HW: of what lies inside of the faces' pictures; None: all.
    """

    faces: tuple[int, ...]
    styles: tuple[int, ...]
    image_CSCHW: Tensor
    identity_CSE: Array
    mask_C1HW: Mask = None

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Every pair of face and exemplar, by index in the evaluation set, face by face."""
        return [(face, style) for face in self.faces for style in self.styles]


@dataclass(frozen=True)
class PasticheTable:
    """Values of results that have a pastiche: of P pairs, or of all as (C, S) tables.

    Attributes:
        lpips: to the own pastiche.
        identity: cosine of FaceNet's descriptors to the own pastiche.
        recognised: 1 if the own pastiche is the most similar of all faces' in the style, else 0.
    """

    lpips: Array
    identity: Array
    recognised: Array

    def columns(self) -> dict[str, Array]:
        """Return the values by the names of their measures."""
        return {f"pastiche_{name}": values for name, values in vars(self).items()}

    def reshape(self, *shape: int) -> PasticheTable:
        """Return the values of all pairs as tables."""
        return PasticheTable(*(values.reshape(shape) for values in vars(self).values()))


def describe_pastiches(
    extractor: FeatureExtractor, eval_set: EvalSet, given: Pastiches
) -> PasticheSet | None:
    """Describe the pastiches of an evaluation set.

    Styles without any pastiche do not count, nor do faces that lack one in a style that counts.

    Args:
        extractor: the measuring networks.
        eval_set: faces and exemplars.
        given: pastiches, of these and perhaps of other faces and exemplars.

    Returns:
        None if fewer than two faces have pastiches.
    """
    size = eval_set.face_CCHW.shape[-1]
    styles = [
        index
        for index, style in enumerate(eval_set.styles)
        if any((face, style) in given for face in eval_set.contents)
    ]
    names = [eval_set.styles[index] for index in styles]
    faces = [
        index
        for index, face in enumerate(eval_set.contents)
        if all((face, name) in given for name in names)
    ]
    if len(faces) < MIN_FACES or not styles:
        return None
    images = [
        image_to_tensor(given[eval_set.contents[face], name], size)
        for face in faces
        for name in names
    ]
    pixels = quantize(torch.stack(images)).cpu()
    identity_NE = extractor.identities(pixels)
    shape = (len(faces), len(styles))
    return PasticheSet(
        tuple(faces),
        tuple(styles),
        pixels.reshape(*shape, *pixels.shape[1:]),
        identity_NE.reshape(*shape, -1),
        None if eval_set.face_mask_C1HW is None else eval_set.face_mask_C1HW[faces],
    )


def compare(
    extractor: FeatureExtractor,
    pastiches: PasticheSet,
    image_PCHW: Tensor,
    pairs: Sequence[tuple[int, int]],
    identity_PE: Array | None = None,
) -> PasticheTable:
    """Compare results with the pastiches of their faces and exemplars.

    Args:
        extractor: the measuring networks.
        pastiches: of all pairs.
        image_PCHW: uint8 results.
        pairs: of each result, by index in the evaluation set.
        identity_PE: the results' descriptors by FaceNet; None computes them.
    """
    rows = [pastiches.faces.index(face) for face, _ in pairs]
    columns = [pastiches.styles.index(style) for _, style in pairs]
    if identity_PE is None:
        identity_PE = extractor.identities(image_PCHW)
    similar_PC = np.einsum("pe,cpe->pc", identity_PE, pastiches.identity_CSE[:, columns])
    mask_P1HW = None if pastiches.mask_C1HW is None else pastiches.mask_C1HW[rows]
    return PasticheTable(
        extractor.lpips(image_PCHW, pastiches.image_CSCHW[rows, columns], mask_P1HW),
        similar_PC[np.arange(len(pairs)), rows],
        (similar_PC.argmax(1) == rows).astype(np.float64),
    )


def compare_results(
    extractor: FeatureExtractor,
    pastiches: PasticheSet,
    results: Tensor,
    identity_NE: Array,
) -> PasticheTable:
    """Compare all results of a method that have a pastiche, as (C, S) tables.

    Args:
        extractor: the measuring networks.
        pastiches: of the evaluation set.
        results: uint8 images of every face in every style of the evaluation set, (., ., 3, H, W).
        identity_NE: their descriptors by FaceNet, face by face.
    """
    identities = identity_NE.reshape(*results.shape[:2], -1)
    faces, styles = zip(*pastiches.pairs, strict=True)
    table = compare(
        extractor,
        pastiches,
        results[list(faces), list(styles)],
        pastiches.pairs,
        identities[list(faces), list(styles)],
    )
    return table.reshape(len(pastiches.faces), len(pastiches.styles))


def measure_pastiches(table: PasticheTable, *, seed: int, resamples: int) -> dict[str, Interval]:
    """Measure the results of a method: `pastiche_lpips`, `_identity` and `_recognised`."""
    return {
        name: mean_interval(values, seed=seed, resamples=resamples)
        for name, values in table.columns().items()
    }


def measure_pastiche_style(
    extractor: FeatureExtractor,
    pastiches: PasticheSet,
    exemplars: Description,
    exemplar_mask_S1HW: Mask = None,
    *,
    seed: int,
    resamples: int,
) -> dict[str, Interval]:
    """Measure the style of the pastiches themselves.

    They are not as near to the exemplar as a picture can be: it shows another person. A method that
    comes nearer has taken over more of the exemplar than its style.

    Args:
        extractor: the measuring networks.
        pastiches: of the evaluation set.
        exemplars: style descriptors of all exemplars of the evaluation set.
        exemplar_mask_S1HW: of what lies inside of their pictures.
        seed, resamples: of the bootstrap.

    Returns:
        `style_distance_ideal_line`, `style_nearest_ideal_line`, and with two styles or more
        `kid_ideal_line`.
    """
    faces, styles = len(pastiches.faces), len(pastiches.styles)
    mask = pastiches.mask_C1HW
    if mask is not None:
        mask = mask.repeat_interleave(styles, 0)
    if exemplar_mask_S1HW is not None:
        own_N1HW = exemplar_mask_S1HW[list(pastiches.styles)].repeat(faces, 1, 1, 1)
        mask = own_N1HW if mask is None else mask & own_N1HW
    described = extractor.describe(pastiches.image_CSCHW.flatten(0, 1), mask_N1HW=mask)[0]
    own, _, rank = exemplar_distances(described, exemplars, faces, pastiches.styles)

    def mean(values: Array) -> Interval:
        return mean_interval(values, seed=seed, resamples=resamples)

    figures = {
        "style_distance_ideal_line": mean(own),
        "style_nearest_ideal_line": mean((rank == 1).astype(np.float64)),
    }
    if styles >= MIN_STYLES:
        own_NF = exemplars.pooled_NF[list(pastiches.styles)]
        figures["kid_ideal_line"] = kid_of_results(
            described.pooled_NF, own_NF, faces, seed=seed, resamples=resamples
        )
    return figures


def measure_pastiche_lines(
    extractor: FeatureExtractor,
    pastiches: PasticheSet,
    photo_identity_CE: Array,
    rendered_CCHW: Tensor,
    progress: Progress,
    *,
    seed: int,
    resamples: int,
) -> dict[str, Interval]:
    """Measure reference values: another person's pastiche, g(code), and pastiche to photo.

    Args:
        extractor: the measuring networks.
        pastiches: of the evaluation set.
        photo_identity_CE: FaceNet's descriptors of all faces of the evaluation set.
        rendered_CCHW: uint8 images of g(code) of all faces of the evaluation set.
        progress: called with a description, the styles done and their number.
        seed, resamples: of the bootstrap.

    Returns:
        `pastiche_*_other_line`, `pastiche_*_code_line` and `identity_ideal_line`.
    """

    def mean(values: Array) -> Interval:
        return mean_interval(values, seed=seed, resamples=resamples)

    ideal_CSE = pastiches.identity_CSE
    people = ring_pairs(len(pastiches.faces), OTHER_PAIRS, seed)
    first, second = ([pair[i] for pair in people] for i in (0, 1))
    lpips_SP = []
    for own_CCHW in pastiches.image_CSCHW.unbind(1):
        lpips_SP.append(extractor.describe(own_CCHW, people, pastiches.mask_C1HW)[1])
        progress("ideal results compared", len(lpips_SP), len(pastiches.styles))
    code = compare(
        extractor,
        pastiches,
        rendered_CCHW[[face for face, _ in pastiches.pairs]],
        pastiches.pairs,
    ).reshape(*ideal_CSE.shape[:2])
    photo_CE = photo_identity_CE[list(pastiches.faces)]
    figures = {
        "pastiche_lpips_other_line": mean(np.stack(lpips_SP, 1)),
        "pastiche_identity_other_line": mean((ideal_CSE[first] * ideal_CSE[second]).sum(-1)),
        "identity_ideal_line": mean(np.einsum("cse,ce->cs", ideal_CSE, photo_CE)),
    }
    return figures | {f"{name}_code_line": mean(x) for name, x in code.columns().items()}
