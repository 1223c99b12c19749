"""Restyling of a video file, frame by frame in constant memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from dualstylegan.errors import FaceError
from dualstylegan.faces.backgrounds import Background
from dualstylegan.faces.filters import Map
from dualstylegan.faces.paste import Pasted, paste_back
from dualstylegan.io.video_reading import Picture, Sound, VideoReader, open_video
from dualstylegan.io.video_writing import VideoWriter, check_format, create_video
from dualstylegan.networks.threads import OrderedWork
from dualstylegan.portrait.model import PortraitModel
from dualstylegan.portrait.options import RestyleOptions
from dualstylegan.portrait.result import prefixed
from dualstylegan.portrait.style_choice import ChosenStyle, Style, choose_style
from dualstylegan.video.mattes import SteadyMattes
from dualstylegan.video.performance import Performance
from dualstylegan.video.performing import (
    PerformedFace,
    Performer,
    crop_facts,
    restyle_performed,
)

# Turn of a frame to have its mattes made steady.
Mattes = AbstractContextManager[Callable[[Map], Map]]
# Called with the number of frames done and their number as the file tells it, None if it does not.
FrameProgress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class RestyledVideo:
    """Outcome of a restyling.

    Attributes:
        frames: number of frames of the video.
        restyled: number of those with a restyled face.
        tracks: number of faces that were fitted: at least one per shot.
        likeness: likeness of each fitted face, see `FaceFit`; None where it was not measured.
    """

    frames: int
    restyled: int
    tracks: int
    likeness: tuple[float | None, ...]


@dataclass(frozen=True)
class _Shown:
    """Frame of the result: picture and time."""

    image: Image.Image
    pts: int


def restyle_video(
    model: PortraitModel,
    source: Path | str,
    output: Path | str,
    style: Style | None = None,
    *,
    seed: int | None = None,
    structure: float | None = None,
    color: float | None = None,
    weights: Sequence[float] | None = None,
    preserve_color: bool = False,
    truncation: float | None = None,
    size: int = 256,
    background: Background = "keep",
    crop: bool = False,
    fit_steps: int | None = None,
    progress: FrameProgress | None = None,
) -> RestyledVideo:
    """Restyle the largest face of each shot of a video; sound and timestamps stay.

    Args:
        model: the model.
        source: a video file.
        output: MP4, MOV or MKV, written whole or not at all.
        style, seed, structure, color, weights, preserve_color, truncation: see
            `PortraitModel.restyle`.
        size: side of the restyled face in pixels, 64 to 1024.
        background: of the whole frame: "keep", or "style", see `paste_back`.
        crop: write the restyled crop alone, without the frames that show no face; the default puts
            it back into the whole frame.
        fit_steps: optimisation steps of the fit of each shot's first face; None: the default.
        progress: called after each frame.

    Warns:
        LikenessWarning: a shot's fitted face may not be recognised as the person.

    Raises:
        DataError: the file is missing, is no video or is broken; or no format for the result.
        FaceError: no face in any frame.
        SettingsError: an unknown style, a value out of its bounds, or PyAV is not installed.
        OutputError: the result cannot be written.
    """
    source, output = Path(source), Path(output)
    options = RestyleOptions(
        structure, color, weights, preserve_color, truncation, size, background
    )
    chosen = choose_style(model, style, seed, options)
    check_format(output)
    facts = _facts(model, chosen, options, crop)
    with (
        open_video(source) as reader,
        create_video(
            output,
            (size, size) if crop else reader.size,
            rate=reader.rate,
            time_base=reader.time_base,
            sounds=reader.sounds,
            matrix=reader.matrix,
            facts=facts,
        ) as writer,
        OrderedWork[_Shown](model.device) as work,
    ):
        return _Restyling(model, chosen, options, crop, fit_steps).run(
            reader, writer, work, progress
        )


class _Restyling:
    """Pass over a video: frames are tracked and encoded in order, and rendered on threads."""

    def __init__(
        self,
        model: PortraitModel,
        style: ChosenStyle,
        options: RestyleOptions,
        crop: bool,
        fit_steps: int | None,
    ) -> None:
        self.model, self.style, self.options = model, style, options
        self.crop = crop
        self.performer = Performer(model, fit_steps)
        self.performance: Performance | None = None
        self.mattes = SteadyMattes()
        self.likeness: list[float | None] = []

    def run(
        self,
        reader: VideoReader,
        writer: VideoWriter,
        work: OrderedWork[_Shown],
        progress: FrameProgress | None,
    ) -> RestyledVideo:
        """Restyle the frames and copy the sound."""
        frames = restyled = 0
        for part in reader.parts():
            if isinstance(part, Sound):
                writer.copy(part)
                continue
            frames += 1
            task = self._task(part)
            if task is not None:
                restyled += 1
            elif not self.crop:
                task = _unchanged(part)
            if task is not None:
                for shown in work.submit(task):
                    writer.write(shown.image, shown.pts)
            if progress is not None:
                progress(frames, reader.frames)
        if not restyled:
            raise FaceError(
                "no face in any frame",
                file=reader.path,
                value=f"{frames} frames of {reader.size[0]} x {reader.size[1]}",
                fix="use a video that shows the face larger or more frontal",
            )
        for shown in work.drain():
            writer.write(shown.image, shown.pts)
        return RestyledVideo(frames, restyled, len(self.likeness), tuple(self.likeness))

    def _task(self, part: Picture) -> Callable[[], _Shown] | None:
        """Return the rendering of a frame's face; None where there is none."""
        face = self.performer.follow(part.image, part.seconds)
        if face is None:
            return None
        if face.performance is not self.performance:
            self.performance = face.performance
            self.mattes = SteadyMattes()
            self._note(face.performance)
        mattes = self.mattes.next_frame(part.seconds)
        return lambda: self._render(part, face, mattes)

    def _render(self, part: Picture, face: PerformedFace, mattes: Mattes) -> _Shown:
        """Render the face of a frame, in its turn to have steady mattes."""
        with mattes as steady:
            result = restyle_performed(self.model, face, self.style, self.options)
            if not self.crop:
                pasted = Pasted(result, face.quad_Q2, face.crop, steady)
                result = paste_back(part.image, [pasted], background=self.options.background)
        return _Shown(result, part.pts)

    def _note(self, performance: Performance) -> None:
        """Note the likeness of a new face, and warn if it is low."""
        self.likeness.append(performance.fit.likeness)
        if performance.fit.warning is not None:
            warnings.warn(performance.fit.warning, stacklevel=4)


def _unchanged(part: Picture) -> Callable[[], _Shown]:
    return lambda: _Shown(part.image, part.pts)


def _facts(
    model: PortraitModel, style: ChosenStyle, options: RestyleOptions, crop: bool
) -> dict[str, str]:
    """Return the recipe of a video, as results of photos have it."""
    shown = None if crop or options.background == "keep" else options.background
    return crop_facts(model, style, options) | prefixed({"background": shown})
