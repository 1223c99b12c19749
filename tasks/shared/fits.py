"""Codes of content faces by the packaged model's own fit, and the faces that it fits worst.

Legend of shape suffixes: N face, L row, D style width.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dualstylegan.codes.tables import CodeTable, digest
from dualstylegan.faces.frame import Array, continued
from dualstylegan.io.images import (
    image_to_tensor,
    make_grid,
    tensor_to_image,
    thumbnail,
)
from dualstylegan.networks.facenet import cosine
from dualstylegan.networks.loading import load_facenet
from dualstylegan.portrait.model import PortraitModel
from tasks.shared.aligned import read_aligned, read_frames
from tasks.shared.at_once import Tick
from tasks.shared.caching import Entry, cache_key
from tasks.shared.mapping import Computation, mapped
from tasks.shared.paths import Paths
from tasks.shared.tensors import (
    file_digests,
    loss_columns,
    portrait_digests,
    portrait_names,
    stack_entries,
    tensor_entries,
)

# Part of the cache key: raise it when the codes change.
VERSION = 1
# Side of a face in the card's image, in pixels.
CARD_PX = 128


class FaceFitter(Computation):
    """Fits of the set's content faces by a model."""

    stage = "fit"

    def __init__(self, model: PortraitModel) -> None:
        self.model, self.fingerprint = model, _fingerprint(model)

    def keys(self, names: Sequence[str]) -> list[str]:
        """Return a key of everything that a face's code depends on."""
        digests = portrait_digests(Paths.faces, names)
        return [cache_key(VERSION, sha256, *self.fingerprint) for sha256 in digests]

    def compute(self, names: Sequence[str], tick: Tick) -> list[Entry]:
        """Fit faces: codes and likeness."""
        frames = read_frames(Paths.faces, names)
        faces = read_aligned(Paths.faces, names)
        fits = [self.model.fit(image, frame=frames[name]) for name, image in faces]
        likeness = [float("nan") if fit.likeness is None else fit.likeness for fit in fits]
        return tensor_entries(
            {
                "code": torch.from_numpy(np.stack([fit.code_LD for fit in fits])),
                "likeness": torch.tensor(likeness),
            }
        )


def fit_faces(model: PortraitModel) -> CodeTable:
    """Fit every content face as `transfer` fits a photo, so that the evaluation measures that."""
    names = portrait_names(Paths.faces)
    tensors = stack_entries(mapped(FaceFitter(model), names))
    return CodeTable(
        tuple(names),
        file_digests(Paths.faces, names),
        "z_plus",
        tensors.pop("code"),
        digest(model.generator),
        loss_columns(tensors),
    )


def _fingerprint(model: PortraitModel) -> list[str | bool | int | dict[str, float]]:
    """Return everything in a model that its fits depend on."""
    extrinsic = model.fit_exemplars().cpu().contiguous().numpy().tobytes()
    networks = (model.network, model.encoder, model.lpips(), model.identity())
    return [
        *(digest(network) for network in networks),
        hashlib.sha256(extrinsic).hexdigest(),
        asdict(model.fit_settings()),
        model.config.bfloat16,
        model.config.defaults.crop_px,
    ]


@dataclass(frozen=True)
class CodedFace:
    """Content face with its code.

    Attributes:
        name: of the face.
        photo: the aligned face.
        frame: of the picture in it, see `dualstylegan.faces.frame`; None: all of it.
        code_LD: Z+ code on the model's device.
        rendered: g(code), the generator's image of the code.
    """

    name: str
    photo: Image.Image
    frame: Array | None
    code_LD: Tensor
    rendered: Image.Image

    @property
    def inside(self) -> Image.Image:
        """The aligned face, continued beyond its picture."""
        return continued(self.photo, self.frame)


def card_size(model: PortraitModel) -> int:
    """Return the side in pixels at which the card's figures are measured."""
    return min(model.config.defaults.crop_px, max(model.generator.output_sizes))


def coded_faces(model: PortraitModel, table: CodeTable) -> list[CodedFace]:
    """Return the content faces of a table of codes, each with the generator's image of its code."""
    frames = read_frames(Paths.faces, table.names)
    faces = read_aligned(Paths.faces, table.names)
    found = []
    for (name, photo), code_LD in zip(faces, table.codes_NLD.to(model.device), strict=True):
        rendered = tensor_to_image(model.render(code_LD[None], None, size=card_size(model))[0])
        found.append(CodedFace(name, photo, frames[name], code_LD, rendered))
    return found


def worst_fits(
    model: PortraitModel, faces: Sequence[CodedFace], limit: int
) -> tuple[list[tuple[str, float]], bytes]:
    """Compare content faces with the generator's images of their codes.

    Args:
        model: the packaged model.
        faces: at least one.
        limit: number of faces returned, at least 1.

    Returns:
        Names and FaceNet's cosines of the faces that are least alike, the worst first; and a JPEG
        strip with their photos above and the images of their codes below.
    """
    facenet = load_facenet(Paths.weights).to(model.device)
    size = card_size(model)
    measured = []
    for face in faces:
        identity = _cosine(facenet, [face.inside, face.rendered], size, model.device)
        measured.append((face.name, identity, face.photo, face.rendered))
    worst = sorted(measured, key=lambda fit: fit[1])[:limit]
    first = worst[0][2].resize((CARD_PX, CARD_PX), Image.Resampling.LANCZOS)  # sets all sizes
    cells = [first, *(photo for *_, photo, _ in worst[1:]), *(image for *_, image in worst)]
    fits = [(name, identity) for name, identity, *_ in worst]
    labels = [*(name for name, _ in fits), *(f"{identity:.2f}" for _, identity in fits)]
    strip = make_grid(cells, len(worst), labels)
    return fits, thumbnail(strip, max(strip.size))


@torch.no_grad()
def _cosine(
    facenet: torch.nn.Module, images: Sequence[Image.Image], size: int, device: torch.device
) -> float:
    """Return FaceNet's cosine of two images."""
    first, second = (image_to_tensor(image, size)[None].to(device) for image in images)
    similar: Tensor = cosine(facenet(first), facenet(second))
    return float(similar)
