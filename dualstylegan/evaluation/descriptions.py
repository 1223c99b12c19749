"""Descriptions of evaluated images: style descriptors, identity descriptors and landmarks.

Legend of shape suffixes: C content face, S exemplar, N = C x S result (face by face),
E identity width, P pair of exemplars, K landmark, H, W.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from dualstylegan.evaluation.bootstrap import Array
from dualstylegan.evaluation.eval_set import EvalSet, Progress
from dualstylegan.evaluation.extractor import FeatureExtractor
from dualstylegan.networks.style_embedding import Description, join


@dataclass(frozen=True)
class Renderings:
    """Images of a method, uint8: results (C, S, 3, H, W) and reconstructions (S, 3, H, W)."""

    results: Tensor
    reconstructions: Tensor


@dataclass(frozen=True)
class References:
    """Descriptions of faces and exemplars, shared by all methods.

    Attributes:
        contents, styles: names of the C held-out faces and of the S exemplars.
        faces, exemplars, natural: style descriptors of the C faces, of the S exemplars and of
            their natural faces g(z_i+).
        face_identities, face_dlib: descriptors of the faces (C, E) by FaceNet and by dlib.
        faces_CK2, exemplars_SK2: landmarks in pixels; NaN without a plausible face.
        intrinsic_S: LPIPS of g(z_i+), before any style, to its exemplar.
        pairs: P pairs of exemplars, by index.
        exemplar_spread_P: LPIPS between the exemplars of each pair.
    """

    contents: tuple[str, ...]
    styles: tuple[str, ...]
    faces: Description
    exemplars: Description
    natural: Description
    face_identities: Array
    face_dlib: Array
    faces_CK2: Array
    exemplars_SK2: Array
    intrinsic_S: Array
    pairs: tuple[tuple[int, int], ...]
    exemplar_spread_P: Array


@dataclass(frozen=True)
class ResultDescriptions:
    """Descriptions of a method's images, results face by face.

    Attributes:
        references: the faces and exemplars that the results were made from.
        results: style descriptors of the N results.
        identities, dlib: their descriptors (N, E) by FaceNet and by dlib.
        landmarks_NK2: their landmarks in pixels; NaN without a plausible face.
        reconstruction_S: LPIPS of G(z_i+, z_e+, 1) to its exemplar.
        spread_CP: LPIPS between two results of one face, for P pairs of exemplars.
    """

    references: References
    results: Description
    identities: Array
    dlib: Array
    landmarks_NK2: Array
    reconstruction_S: Array
    spread_CP: Array


def describe_references(
    extractor: FeatureExtractor,
    eval_set: EvalSet,
    natural_SCHW: Tensor,
    pairs: list[tuple[int, int]],
) -> References:
    """Describe faces, exemplars and natural faces.

    Args:
        extractor: the measuring networks.
        eval_set: faces and exemplars.
        natural_SCHW: uint8 images of g(z_i+).
        pairs: exemplars whose results are compared with each other, by index.
    """
    exemplar_mask = eval_set.exemplar_mask_S1HW
    exemplars, spread_P = extractor.describe(eval_set.exemplar_SCHW, pairs, exemplar_mask)
    return References(
        contents=eval_set.contents,
        styles=eval_set.styles,
        faces=extractor.describe(eval_set.face_CCHW, mask_N1HW=eval_set.face_mask_C1HW)[0],
        exemplars=exemplars,
        natural=extractor.describe(natural_SCHW)[0],
        face_identities=extractor.identities(eval_set.face_CCHW),
        face_dlib=extractor.dlib_identities(eval_set.face_CCHW),
        faces_CK2=extractor.landmark_tables(eval_set.face_CCHW),
        exemplars_SK2=extractor.landmark_tables(eval_set.exemplar_SCHW),
        intrinsic_S=extractor.lpips(natural_SCHW, eval_set.exemplar_SCHW, exemplar_mask),
        pairs=tuple(pairs),
        exemplar_spread_P=spread_P,
    )


def describe_results(
    extractor: FeatureExtractor,
    eval_set: EvalSet,
    references: References,
    renderings: Renderings,
    progress: Progress,
) -> ResultDescriptions:
    """Describe all images of a method: everything that its measures are computed from.

    The style of a result is that of what lies inside of its exemplar's picture, as that of the
    exemplar itself.
    """
    mask_S1HW = eval_set.exemplar_mask_S1HW
    parts = []
    for done, row in enumerate(renderings.results):
        description, spread_P = extractor.describe(row, references.pairs, mask_S1HW)
        identities, dlib = extractor.identities(row), extractor.dlib_identities(row)
        parts.append((description, spread_P, identities, dlib, extractor.landmark_tables(row)))
        progress("faces measured", done + 1, len(renderings.results))
    descriptions, spreads, identities_by_face, dlib_by_face, landmarks_by_face = zip(
        *parts, strict=True
    )
    return ResultDescriptions(
        references=references,
        results=join(list(descriptions)),
        identities=np.concatenate(identities_by_face),
        dlib=np.concatenate(dlib_by_face),
        landmarks_NK2=np.concatenate(landmarks_by_face),
        reconstruction_S=extractor.lpips(
            renderings.reconstructions, eval_set.exemplar_SCHW, eval_set.exemplar_mask_S1HW
        ),
        spread_CP=np.stack(spreads),
    )
