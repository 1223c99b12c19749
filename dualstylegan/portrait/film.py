"""Films from style to style and from face to face: codes interpolated in W+, eased.

Legend of shape suffixes: L row, D style width.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from dualstylegan.errors import SettingsError
from dualstylegan.io.arrays import Floats, array_to_image
from dualstylegan.io.files import short_digest, write_bytes
from dualstylegan.portrait.config import FILM_SUFFIX
from dualstylegan.portrait.restyling import face_code, restyle_code
from dualstylegan.portrait.result import exif_text, model_facts, prefixed

if TYPE_CHECKING:
    from dualstylegan.portrait.model import PortraitModel
    from dualstylegan.portrait.options import RestyleOptions
    from dualstylegan.portrait.sitter import Sitter
    from dualstylegan.portrait.style_choice import ChosenStyle

FILM_QUALITY = 90
MAX_FRAMES_BYTES = 1 << 30


@dataclass(frozen=True)
class KeyFrame:
    """Face and style that a film shows at a moment; both codes in W+."""

    face_LD: Floats
    style: ChosenStyle


@dataclass(frozen=True)
class FilmPlan:
    """Timing of a film.

    Attributes:
        seconds: from a key frame to the next.
        fps: frames per second.
        loop: lead from the last key frame back to the first, and play for ever.
    """

    seconds: float = 2.0
    fps: int = 25
    loop: bool = False

    @property
    def leg(self) -> int:
        """Number of frames from a key frame to the next, one at least."""
        return max(1, round(self.seconds * self.fps))

    def frames(self, keys: int) -> int:
        """Return the number of frames of a film of so many key frames."""
        legs = keys if self.loop else keys - 1
        return legs * self.leg + (0 if self.loop else 1)

    def check(self, keys: int, size: int) -> None:
        """Refuse a film that has no motion, or that is too long to hold in memory.

        Raises:
            SettingsError: names the value and the limit.
        """
        if keys < 2:
            raise SettingsError(
                "a film needs two key frames", value=keys, fix="add a style or face"
            )
        for name, value, high in (("seconds", self.seconds, 60), ("fps", self.fps, 60)):
            if not 0 < value <= high:
                raise SettingsError(
                    name, value=value, limit=f"above 0, up to {high}", fix="give a value in between"
                )
        most = MAX_FRAMES_BYTES // (3 * size * size)
        if self.frames(keys) > most:
            raise SettingsError(
                "the film has too many frames for its size",
                value=self.frames(keys),
                limit=most,
                fix="give fewer seconds, frames a second, or pixels",
            )


def key_frames(
    model: PortraitModel, sitters: Sequence[Sitter], styles: Sequence[ChosenStyle]
) -> list[KeyFrame]:
    """Return each face in each style, so that from one to the next only one of them changes."""
    keys = []
    for row, sitter in enumerate(sitters):
        sitter.check_model(model.digest)
        face_LD = face_code(model, sitter, 0)
        ordered = styles if row % 2 == 0 else styles[::-1]
        keys += [KeyFrame(face_LD, style) for style in ordered]
    return keys


def ease(share: float) -> float:
    """Return the share of the way at a share of the time: 3t^2 - 2t^3, at rest at both ends."""
    return share * share * (3 - 2 * share)


def film_frames(
    model: PortraitModel, keys: Sequence[KeyFrame], plan: FilmPlan, options: RestyleOptions
) -> Iterator[Image.Image]:
    """Render the frames of a film one after the other.

    Raises:
        SettingsError: the plan or the options are out of their bounds.
    """
    options.check(model.config)
    plan.check(len(keys), options.size)
    stops = [*keys, keys[0]] if plan.loop else list(keys)
    for start, end in pairwise(stops):
        for step in range(plan.leg):
            yield _between(model, start, end, ease(step / plan.leg), options)
    if not plan.loop:
        yield _between(model, stops[-1], stops[-1], 0.0, options)


def _between(
    model: PortraitModel, start: KeyFrame, end: KeyFrame, share: float, options: RestyleOptions
) -> Image.Image:
    face_LD = _mix(start.face_LD, end.face_LD, share)
    style_LD = _mix(start.style.code_LD, end.style.code_LD, share)
    style = replace(start.style, code_LD=style_LD)
    return array_to_image(restyle_code(model, face_LD, style, options))


def _mix(start_LD: Floats, end_LD: Floats, share: float) -> Floats:
    return start_LD + np.float32(share) * (end_LD - start_LD)


def film_facts(
    model: PortraitModel,
    sitters: Sequence[Sitter],
    styles: Sequence[ChosenStyle],
    options: RestyleOptions,
) -> dict[str, str]:
    """Return facts about a film as text: the model, digests of photos and styles, the options."""
    facts = model_facts(model.config, model.digest)
    facts["photo"] = " ".join(short_digest(sitter.photo_digest) for sitter in sitters)
    for name in ("style", "seed", "style_digest"):
        given = [style.facts[name] for style in styles]
        facts[name] = ", ".join(value for value in given if value is not None) or None
    return prefixed(facts | options.facts(model.config.defaults))


def write_film(
    path: Path,
    frames: Iterable[Image.Image],
    count: int,
    plan: FilmPlan,
    facts: dict[str, str],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write frames as an animated WebP, or as a video in constant memory, by the file's suffix.

    A video does not say that it plays for ever.

    Args:
        path: WebP, MP4, MOV or MKV; written whole or not at all.
        frames, count, plan, facts, progress: see `encode_film`.

    Raises:
        DataError: no format for films.
        OutputError: the file cannot be written.
        SettingsError: a video, but PyAV is not installed.
    """
    if path.suffix.lower() == FILM_SUFFIX:
        write_bytes(path, encode_film(frames, count, plan, facts, progress))
        return
    from dualstylegan.io.video_writing import create_video

    counted = _counted(frames, count, progress)
    first = next(counted)
    with create_video(path, first.size, rate=Fraction(plan.fps), facts=facts) as writer:
        for pts, frame in enumerate(chain([first], counted)):
            writer.write(frame, pts)


def _counted(
    frames: Iterable[Image.Image], count: int, progress: Callable[[int, int], None]
) -> Iterator[Image.Image]:
    for done, frame in enumerate(frames, 1):
        progress(done, count)
        yield frame


def encode_film(
    frames: Iterable[Image.Image],
    count: int,
    plan: FilmPlan,
    facts: dict[str, str],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> bytes:
    """Return frames as an animated WebP file that holds the facts.

    Args:
        frames: of one size.
        count: their number.
        plan: frames per second, and whether it plays for ever.
        facts: see `film_facts`.
        progress: called with the number of frames done and their number.
    """
    first, *others = _counted(frames, count, progress)
    buffer = io.BytesIO()
    first.save(
        buffer,
        "WEBP",
        save_all=True,
        append_images=others,
        duration=round(1000 / plan.fps),
        loop=0 if plan.loop else 1,
        quality=FILM_QUALITY,
        exif=exif_text(facts),
    )
    return buffer.getvalue()
