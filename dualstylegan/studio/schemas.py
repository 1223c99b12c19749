"""Schemas of the REST interface: the options of a picture and the answers in JSON."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dualstylegan.errors import DualStyleGANError
from dualstylegan.networks.config import ClosedSchema
from dualstylegan.portrait.config import SIZE_LIMITS, UnitInterval
from dualstylegan.studio.visits import Progress, Sitting

MAX_MIX = 8
Format = Literal["png", "jpg", "webp"]
MEDIA = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}
ZIP = "application/zip"


class StyleQuery(ClosedSchema):
    """Options of a restyling."""

    style: list[str] = Field(
        min_length=1,
        max_length=MAX_MIX,
        description="a style's name, or `name:share` of a mix; the id of an added style",
    )
    structure: UnitInterval | None = Field(
        default=None, description="0 the face's shapes, 1 the exemplar's"
    )
    color: UnitInterval | None = Field(
        default=None, description="0 the face's colours, 1 the exemplar's"
    )
    preserve_color: bool = Field(default=False, description="keep the photo's palette")
    size: int = Field(
        default=256, ge=SIZE_LIMITS[0], le=SIZE_LIMITS[1], description="side of a face in pixels"
    )


class PictureQuery(StyleQuery):
    """Options of a picture."""

    face: int = Field(default=0, ge=0, description="index of the face, 0 the largest")
    whole: bool = Field(default=False, description="put all faces back into the photo")
    draft: bool = Field(
        default=False, description="whole photo at most 1280 pixels wide and high, which is fast"
    )
    format: Format = Field(default="png", description="file format; all hold the recipe")
    view: str = Field(
        default="",
        max_length=64,
        description="a newer request of the same view drops this one while it waits (409)",
    )


class FrameQuery(StyleQuery):
    """Options of a frame of a live camera."""

    format: Format = Field(default="jpg", description="file format; all hold the recipe")


class ErrorAnswer(ClosedSchema):
    """A refusal: what is wrong, what was found, what would do, and what helps."""

    error: str
    found: str | None = None
    limit: str | None = None
    fix: str | None = None

    @classmethod
    def of(cls, error: DualStyleGANError) -> ErrorAnswer:
        """Return the answer for an error."""
        found, limit = (None if x is None else str(x) for x in (error.value, error.limit))
        return cls(error=error.problem, found=found, limit=limit, fix=error.fix)


class ProgressAnswer(ClosedSchema):
    """Progress of a computation."""

    state: Literal["waiting", "working", "ready", "failed"]
    done: int
    total: int
    error: ErrorAnswer | None = None

    @classmethod
    def of(cls, progress: Progress) -> ProgressAnswer:
        """Return the answer for a progress."""
        error = None if progress.error is None else ErrorAnswer.of(progress.error)
        return cls(
            state=progress.state.value, done=progress.done, total=progress.total, error=error
        )


class FaceAnswer(ClosedSchema):
    """A face of a photo."""

    box: tuple[float, float, float, float] = Field(
        description="left, top, right, bottom of its crop, as shares of the photo"
    )
    likeness: float | None = Field(
        description="identity similarity of the fitted face to the photo, 1 for the same"
    )
    warning: str | None = Field(description="why the person may not be recognised")
    flags: list[str] = Field(description="conditions that may impair results")


class SitterAnswer(ClosedSchema):
    """A photo that was read."""

    id: str
    width: int
    height: int
    revision: int = Field(
        description="number of readings: the largest face by the encoder; all; fitted"
    )
    fit: ProgressAnswer
    faces: list[FaceAnswer]
    left_out: list[str] = Field(description="faces that were found and not read, and why")

    @classmethod
    def of(cls, name: str, sitting: Sitting) -> SitterAnswer:
        """Return the answer for a sitting."""
        sitter = sitting.sitter
        width, height = sitter.photo_size
        faces = []
        for face in sitter.faces:
            box = (0.0, 0.0, 1.0, 1.0)
            if face.quad_Q2 is not None:
                (left, top), (right, bottom) = face.quad_Q2.min(0), face.quad_Q2.max(0)
                box = (left / width, top / height, right / width, bottom / height)
            warning = face.fit.warning
            faces.append(
                FaceAnswer(
                    box=box,
                    likeness=face.fit.likeness,
                    warning=None if warning is None else str(warning),
                    flags=list(face.flags),
                )
            )
        return cls(
            id=name,
            width=width,
            height=height,
            revision=sitting.revision,
            fit=ProgressAnswer.of(sitting.fit),
            faces=faces,
            left_out=[str(one) for one in sitter.left_out],
        )


class StyleAnswer(ClosedSchema):
    """A style."""

    name: str = Field(description="to be given as `style`")
    label: str = Field(description="text for people")
    thumbnail: str | None = Field(description="address of a small picture of its exemplar")


class StylesAnswer(ClosedSchema):
    """The model, its styles and defaults."""

    model: str
    size: int = Field(description="largest side of a face in pixels")
    structure: UnitInterval
    color: UnitInterval
    styles: list[StyleAnswer]


class OwnStyleAnswer(ClosedSchema):
    """A style that a visitor has added."""

    id: Annotated[str, Field(description="to be given as `style`")]
    name: str
    progress: ProgressAnswer


class LiveAnswer(ClosedSchema):
    """A face before a camera."""

    id: str
    fit: ProgressAnswer = Field(description="of the face's first frame, which replaces its code")
