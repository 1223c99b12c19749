"""Reading and rendering of faces by exported graphs: passes of the encoder, likeness, G.

Legend of shape suffixes: C channel, H height, W width, L row, D style width, E embedding.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dualstylegan.faces.frame import Array, continued, frame_mask
from dualstylegan.graphs.manifest import Manifest
from dualstylegan.graphs.sessions import Graph
from dualstylegan.io.arrays import Floats, image_to_array, resize_array

Mask = NDArray[np.bool_]


def thread_count() -> int:
    """Return the number of threads to compute on: OMP_NUM_THREADS, as for torch, or all cores."""
    named = os.environ.get("OMP_NUM_THREADS", "")
    if named.isdecimal() and int(named) > 0:
        return int(named)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class ExportedNetworks:
    """E, the mapping network, g, G and face recognition of an exported folder.

    Args:
        folder: the exported folder.
        manifest: its onnx.json.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.manifest = manifest
        threads = thread_count()
        self._encoder = Graph(folder, manifest.encoder, threads)
        self._mapping = Graph(folder, manifest.mapping, threads)
        self._generator, self._dualstylegan, self._recognition = (
            {side: Graph(folder, record, threads) for side, record in graphs.items()}
            for graphs in (manifest.generator, manifest.dualstylegan, manifest.recognition)
        )

    def encode(self, face: Image.Image, frame: Array | None, passes: int) -> Floats:
        """Encode an aligned face into a Z+ code (L, D), see `codes.inversion.encode_in_passes`.

        Args:
            face: a square FFHQ crop.
            frame: of the photo in it; what lies outside does not count. None: all is inside.
            passes: of the encoder, at least 1; an encoder of one pass takes one.
        """
        photo_CHW, inside_HW = self._framed(face, frame)
        code_LD: Floats = self._encoder(photo=photo_CHW[None])[0]
        side = self.manifest.pass_px
        if passes == 1 or side is None:
            return code_LD
        encoder_px = self.manifest.encoder.inputs["rendering"].shape[-1]
        small_CHW = resize_array(photo_CHW, encoder_px)
        wanted_1E = self._recognition[encoder_px](face=small_CHW[None])
        small_HW = None if inside_HW is None else reduce_mask(inside_HW, encoder_px)
        for _ in range(passes - 1):
            image_CHW = self._generator[side](face=self.map(code_LD)[None])[0]
            rendering_CHW = _within(small_HW, resize_array(image_CHW, encoder_px), small_CHW)
            code_LD = self._encoder(
                photo=photo_CHW[None],
                code=code_LD[None],
                rendering=rendering_CHW[None],
                wanted=wanted_1E,
                reached=self._recognition[encoder_px](face=rendering_CHW[None]),
                step=1,
            )[0]
        return code_LD

    def likeness(self, face: Image.Image, frame: Array | None, code_LD: Floats) -> float | None:
        """Compute the identity similarity of g(code) to the face, see `codes.fitting.likeness`.

        Returns:
            1 for equal embeddings; None without face recognition.
        """
        manifest = self.manifest
        if not manifest.recognition:
            return None
        photo_CHW, inside_HW = self._framed(face, frame)
        image_CHW = self._generator[manifest.likeness_px](face=self.map(code_LD)[None])[0]
        enlarged_CHW = resize_array(image_CHW.clip(-1, 1), manifest.face_px)
        enlarged_CHW = _within(inside_HW, enlarged_CHW, photo_CHW)
        recognise = self._recognition[manifest.face_px]
        first_E, second_E = (
            recognise(face=picture_CHW[None, :, :, ::-1])[0]
            for picture_CHW in (enlarged_CHW, photo_CHW)
        )
        return 1 - float(np.linalg.norm(first_E - second_E)) / (2 * manifest.person_distance)

    def map(self, code_LD: Floats) -> Floats:
        """Map a code (L, D) from Z+ to W+."""
        mapped_LD: Floats = self._mapping(code=code_LD[None])[0]
        return mapped_LD

    def render(
        self,
        face_LD: Floats,
        style_LD: Floats,
        weights: Sequence[float],
        truncation: float,
        side: int,
    ) -> Floats:
        """Render G of codes in W+ as (3, side, side); `side` is one of the exported ones."""
        image_1CHW = self._dualstylegan[side](
            face=face_LD[None], style=style_LD[None], weights=weights, truncation=truncation
        )
        image_CHW: Floats = image_1CHW[0]
        return image_CHW

    def _framed(self, face: Image.Image, frame: Array | None) -> tuple[Floats, Mask | None]:
        """Return a crop as the encoder takes it, and the mask of its picture."""
        side = self.manifest.face_px
        photo_CHW = image_to_array(continued(face, frame), side)
        return photo_CHW, None if frame is None else frame_mask(frame, side)


def reduce_mask(inside_HW: Mask, size: int) -> Mask:
    """Return a mask in another size: a position counts if every pixel beneath it lies inside.

    The windows are those of torch's adaptive pooling.
    """
    side = len(inside_HW)
    if side == size:
        return inside_HW
    starts = np.arange(size) * side // size
    ends = -(-(np.arange(size) + 1) * side // size)
    counts = np.pad(np.cumsum(np.cumsum(~inside_HW, 0), 1), ((1, 0), (1, 0)))
    rows: NDArray[np.int_] = counts[ends] - counts[starts]
    reduced: Mask = (rows[:, ends] - rows[:, starts]) == 0
    return reduced


def _within(inside_HW: Mask | None, image_CHW: Floats, target_CHW: Floats) -> Floats:
    """Return an image with the target's own pixels outside of the target's picture."""
    return image_CHW if inside_HW is None else np.where(inside_HW, image_CHW, target_CHW)
