"""Sitter: the faces of a photo as codes, read once and restyled as often as one likes.

Legend of shape suffixes: F face, K landmark, Q corner of a quad or frame, L row, D style width,
2 x and y.

A sitter's file is safetensors: the codes, and the rest as JSON beside them, checked by a schema.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, FiniteFloat, ValidationError

from dualstylegan.errors import CheckpointError, LikenessWarning, SettingsError
from dualstylegan.faces.align import LeftOut
from dualstylegan.faces.frame import Array
from dualstylegan.io.arrays import Floats
from dualstylegan.io.checkpoints import read_arrays, save_arrays
from dualstylegan.io.files import short_digest
from dualstylegan.networks.config import ClosedSchema, Sha256
from dualstylegan.portrait.config import FitSteps
from dualstylegan.portrait.options import Faces

CODES = "codes"
LANDMARKS = 68
READ_AGAIN = "read the photo again"

Point = tuple[FiniteFloat, FiniteFloat]
Corners = tuple[Point, Point, Point, Point]
Landmarks = Annotated[tuple[Point, ...], Field(min_length=LANDMARKS, max_length=LANDMARKS)]


@dataclass(frozen=True)
class FaceFit:
    """Code fitted to a face.

    Attributes:
        code_LD: Z+ code.
        steps: optimisation steps after the encoder.
        likeness: identity similarity of g(code) to the face, by dlib: 1 for equal embeddings; None
            where face recognition is not at hand.
        line: least similarity at which the fit counts as the same person; 0: any.
    """

    code_LD: Floats
    steps: int
    likeness: float | None
    line: float

    @property
    def warning(self) -> LikenessWarning | None:
        """Warning about a likeness below the line; None where there is nothing to say."""
        if self.likeness is None or self.line == 0 or self.likeness >= self.line:
            return None
        return LikenessWarning(self.likeness, self.line, self.steps)


@dataclass(frozen=True)
class SitterFace:
    """Face of a photo.

    Attributes:
        fit: its code and likeness.
        quad_Q2: corners of its crop in the photo, in pixels; None: the photo's centre square.
        landmarks_K2: 68 landmarks in the photo, in pixels; None as above.
        frame_Q2: corners of the photo in the crop, see `faces.frame`; None: it covers the crop.
        flags: conditions that may impair results, see `AlignedFace`.
    """

    fit: FaceFit
    quad_Q2: Array | None = None
    landmarks_K2: Array | None = None
    frame_Q2: Array | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sitter:
    """Faces of a photo, as a model read them.

    Attributes:
        photo_size: width and height in pixels.
        photo_digest: SHA-256 of the photo's pixels.
        model_digest: `PortraitModel.digest` of the model that read the photo.
        faces: at least one, the largest first.
        left_out: the other faces that were found, and why they were not read.
        asked: the faces that were asked for: "largest", "all", or a number at most.
    """

    photo_size: tuple[int, int]
    photo_digest: str
    model_digest: str
    faces: tuple[SitterFace, ...]
    left_out: tuple[LeftOut, ...] = ()
    asked: Faces = "largest"

    def check_model(self, digest: str) -> None:
        """Refuse a model that did not read this sitter: its codes mean another face there.

        Raises:
            CheckpointError: names both models' digests.
        """
        if digest != self.model_digest:
            raise CheckpointError(
                "the sitter was read by another model",
                value=short_digest(self.model_digest),
                limit=short_digest(digest),
                fix="read the photo with the model that restyles it",
            )

    def face(self, index: int) -> SitterFace:
        """Return a face by its index, 0 the largest.

        Raises:
            SettingsError: there is no such face.
        """
        if not 0 <= index < len(self.faces):
            raise SettingsError(
                "no such face in the sitter",
                value=index,
                limit=f"0 to {len(self.faces) - 1}",
                fix="give an index in between, or read the photo with more faces",
            )
        return self.faces[index]

    def save(self, path: Path | str) -> None:
        """Write the sitter as a safetensors file, atomically: same sitter, same bytes.

        Raises:
            OutputError: the file cannot be written.
        """
        about = _Record(
            photo_size=self.photo_size,
            photo_digest=self.photo_digest,
            model_digest=self.model_digest,
            faces=tuple(_FaceRecord.of(face) for face in self.faces),
            asked=self.asked,
            left_out=tuple(_LeftRecord(box=o.box, reason=o.reason) for o in self.left_out),
        )
        codes_FLD = np.stack([face.fit.code_LD for face in self.faces])
        save_arrays(path, {CODES: codes_FLD}, about.model_dump(mode="json"))

    @classmethod
    def load(cls, path: Path | str) -> Sitter:
        """Load a sitter that `save` wrote.

        Raises:
            CheckpointError: the file is missing, truncated, or not a sitter.
        """
        try:
            tensors, about = read_arrays(path, foreign=False)
            record = _Record.model_validate(about)
        except CheckpointError as error:
            raise CheckpointError(
                error.problem, file=path, value=error.value, fix=READ_AGAIN
            ) from error
        except ValidationError as error:
            first = error.errors()[0]
            raise CheckpointError(
                "not a sitter's file",
                file=path,
                value=f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
                fix=READ_AGAIN,
            ) from error
        codes_FLD = tensors.get(CODES)
        count = len(record.faces)
        if set(tensors) != {CODES} or codes_FLD is None or not _are_codes(codes_FLD, count):
            raise CheckpointError(
                "not the codes of a sitter",
                file=path,
                value={name: tuple(x.shape) for name, x in tensors.items()},
                limit=f"{CODES}: finite float32 of shape ({count}, L, D)",
                fix=READ_AGAIN,
            )
        return cls(
            record.photo_size,
            record.photo_digest,
            record.model_digest,
            tuple(f.face(code_LD) for f, code_LD in zip(record.faces, codes_FLD, strict=True)),
            tuple(LeftOut(one.box, one.reason) for one in record.left_out),
            record.asked,
        )


def warn_of(sitter: Sitter) -> None:
    """Warn the caller's caller about each face that may not be recognised."""
    for face in sitter.faces:
        if face.fit.warning is not None:
            warnings.warn(face.fit.warning, stacklevel=3)


def _are_codes(codes_FLD: Floats, count: int) -> bool:
    shaped = codes_FLD.dtype == np.float32 and codes_FLD.ndim == 3 and len(codes_FLD) == count
    return shaped and bool(np.isfinite(codes_FLD).all())


class _FaceRecord(ClosedSchema):
    """Face in a sitter's file, but for its code."""

    steps: FitSteps
    likeness: FiniteFloat | None
    line: FiniteFloat
    quad: Corners | None
    landmarks: Landmarks | None
    frame: Corners | None
    flags: tuple[str, ...]

    @classmethod
    def of(cls, face: SitterFace) -> _FaceRecord:
        """Return the record of a face."""
        points = {"quad": face.quad_Q2, "landmarks": face.landmarks_K2, "frame": face.frame_Q2}
        fit = face.fit
        return cls.model_validate(
            {"steps": fit.steps, "likeness": fit.likeness, "line": fit.line, "flags": face.flags}
            | {name: None if x is None else x.tolist() for name, x in points.items()}
        )

    def face(self, code_LD: Floats) -> SitterFace:
        """Return the face of a record."""
        quad, landmarks, frame = (
            None if x is None else np.array(x) for x in (self.quad, self.landmarks, self.frame)
        )
        fit = FaceFit(code_LD, self.steps, self.likeness, self.line)
        return SitterFace(fit, quad, landmarks, frame, self.flags)


class _LeftRecord(ClosedSchema):
    """Face that was left out, in a sitter's file."""

    box: tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]
    reason: str


class _Record(ClosedSchema):
    """JSON of a sitter's file."""

    format: Literal[1] = 1
    photo_size: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]
    photo_digest: Sha256
    model_digest: Sha256
    faces: Annotated[tuple[_FaceRecord, ...], Field(min_length=1)]
    left_out: tuple[_LeftRecord, ...] = ()
    asked: Literal["largest", "all"] | Annotated[int, Field(ge=1)] = "largest"
