"""What the measures know of pictures: their descriptions, identities and landmarks.

Legend of shape suffixes: C content face, S exemplar, N = C x S result (content by content),
E identity width, P pair of exemplars, K landmark, H, W.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from dualstylegan.evaluation.bootstrap import Array
from dualstylegan.evaluation.gallery import Gallery, Progress
from dualstylegan.evaluation.probe import Probe
from dualstylegan.networks.style_embedding import Description, join


@dataclass(frozen=True)
class Rendered:
    """What a method made, uint8: results (C, S, 3, H, W) and reconstructions (S, 3, H, W)."""

    results: Tensor
    reconstructions: Tensor


@dataclass(frozen=True)
class Backdrop:
    """What is known of faces and exemplars, whatever the method.

    Attributes:
        contents, styles: names of the C held-out faces and of the S exemplars.
        faces, exemplars, natural: descriptions of C, S and S pictures; `natural` are g(z_i+).
        face_identities: face descriptors (C, E).
        faces_CK2, exemplars_SK2: landmarks; NaN where there is no plausible face.
        intrinsic_S: LPIPS of g(z_i+), the face before the style, to its exemplar.
        pairs: P pairs of exemplars, by number.
        exemplar_spread_P: LPIPS between the exemplars of each pair.
    """

    contents: tuple[str, ...]
    styles: tuple[str, ...]
    faces: Description
    exemplars: Description
    natural: Description
    face_identities: Array
    faces_CK2: Array
    exemplars_SK2: Array
    intrinsic_S: Array
    pairs: tuple[tuple[int, int], ...]
    exemplar_spread_P: Array


@dataclass(frozen=True)
class Subjects:
    """Everything measured of a method's pictures; tables of results go content by content.

    Attributes:
        backdrop: the faces and exemplars that they were made of.
        results: descriptions of N pictures.
        identities: their face descriptors (N, E).
        results_NK2: their landmarks; NaN where there is no plausible face.
        reconstruction_S: LPIPS of G(z_i+, z_e+, 1) to its exemplar.
        spread_CP: LPIPS between two results of one face, for P pairs of exemplars.
    """

    backdrop: Backdrop
    results: Description
    identities: Array
    results_NK2: Array
    reconstruction_S: Array
    spread_CP: Array


def look_behind(
    probe: Probe, gallery: Gallery, natural_SCHW: Tensor, pairs: list[tuple[int, int]]
) -> Backdrop:
    """Describe faces, exemplars and g(z_i+), all uint8."""
    exemplars, spread_P = probe.look(gallery.exemplar_SCHW, pairs)
    return Backdrop(
        contents=gallery.contents,
        styles=gallery.styles,
        faces=probe.look(gallery.face_CCHW)[0],
        exemplars=exemplars,
        natural=probe.look(natural_SCHW)[0],
        face_identities=probe.identities(gallery.face_CCHW),
        faces_CK2=probe.shapes(gallery.face_CCHW),
        exemplars_SK2=probe.shapes(gallery.exemplar_SCHW),
        intrinsic_S=probe.distances(natural_SCHW, gallery.exemplar_SCHW),
        pairs=tuple(pairs),
        exemplar_spread_P=spread_P,
    )


def look_at(
    probe: Probe, gallery: Gallery, backdrop: Backdrop, rendered: Rendered, progress: Progress
) -> Subjects:
    """Describe all pictures of a method: what its measures are computed from."""
    looks = []
    for done, row in enumerate(rendered.results):
        looks.append((*probe.look(row, backdrop.pairs), probe.identities(row), probe.shapes(row)))
        progress("faces measured", done + 1, len(rendered.results))
    return Subjects(
        backdrop=backdrop,
        results=join([look[0] for look in looks]),
        identities=np.concatenate([look[2] for look in looks]),
        results_NK2=np.concatenate([look[3] for look in looks]),
        reconstruction_S=probe.distances(rendered.reconstructions, gallery.exemplar_SCHW),
        spread_CP=np.stack([look[1] for look in looks]),
    )
