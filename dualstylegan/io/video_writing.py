"""Writing of video files with PyAV: H.264, at the timestamps that are given, with copied sound.

The file appears whole or not at all. PyAV is the extra `video` of the package.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from dualstylegan.errors import DataError, OutputError
from dualstylegan.io.files import atomic_write, system_cause
from dualstylegan.io.video_reading import BT709, SCALER_MATRIX, Sound, require_pyav

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.video.stream import VideoStream

FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
# Quality that is hard to tell from the original. One thread: the same bytes on every machine.
ENCODER = {"crf": "17", "preset": "veryfast", "threads": "1"}
LIMITED_RANGE = 1


class VideoWriter:
    """Open video file that takes pictures and packets of sound.

    Args:
        container: of PyAV, open.
        stream: H.264 stream in it.
        sounds: streams of copied sound by the index of their originals.
    """

    def __init__(
        self,
        container: OutputContainer,
        stream: VideoStream,
        sounds: Mapping[int, AudioStream],
        matrix: int,
    ) -> None:
        self._container, self._stream, self._sounds = container, stream, sounds
        self._matrix = matrix

    def write(self, image: Image.Image, pts: int) -> None:
        """Write a picture, RGB, shown at `pts`, in units of the writer's time base.

        Sizes of odd sides lose their last column or row, which H.264 cannot hold.
        """
        import av

        size = self._stream.width, self._stream.height
        if image.size != size:
            image = image.crop((0, 0, *size))
        frame = av.VideoFrame.from_ndarray(np.asarray(image.convert("RGB"))).reformat(
            format="yuv420p",
            dst_colorspace=SCALER_MATRIX[self._matrix],
            dst_color_range=LIMITED_RANGE,
        )
        frame.pts, frame.time_base = pts, self._stream.codec_context.time_base
        self._container.mux(self._stream.encode(frame))

    def copy(self, sound: Sound) -> None:
        """Copy a packet of sound."""
        packet = sound.packet
        packet.stream = self._sounds[packet.stream.index]
        self._container.mux_one(packet)

    def finish(self) -> None:
        """Write the frames that the encoder still holds."""
        self._container.mux(self._stream.encode(None))


def check_format(path: Path) -> str:
    """Return the format of a video file by its suffix.

    Raises:
        DataError: no format for videos.
    """
    if path.suffix.lower() not in FORMATS:
        raise DataError(
            "not a format for videos",
            file=path,
            value=path.suffix,
            limit=", ".join(FORMATS),
            fix="name a file of these",
        )
    return FORMATS[path.suffix.lower()]


@contextmanager
def create_video(
    path: Path | str,
    size: tuple[int, int],
    *,
    rate: Fraction,
    time_base: Fraction | None = None,
    sounds: Sequence[AudioStream] = (),
    matrix: int = BT709,
    facts: Mapping[str, str] | None = None,
) -> Iterator[VideoWriter]:
    """Create a video file, which takes the name `path` once the block ends without an error.

    Args:
        path: MP4, MOV or MKV.
        size: width and height in pixels.
        rate: mean number of frames a second.
        time_base: unit of the timestamps in seconds; None: a frame of the rate.
        sounds: streams of another container, to be copied.
        matrix: colour matrix, by H.264's number.
        facts: of the making; the file's comment holds them, as JSON.

    Raises:
        DataError: no format for videos, or one that cannot hold the sound.
        OutputError: the file cannot be written.
        SettingsError: PyAV is not installed.
    """
    require_pyav()
    import av

    path = Path(path)
    kind = check_format(path)
    with (
        atomic_write(path) as handle,
        _typed(path),
        av.open(handle, "w", format=kind) as container,
    ):
        stream: VideoStream = container.add_stream("libx264", rate=rate, options=ENCODER)
        stream.width, stream.height = size[0] // 2 * 2, size[1] // 2 * 2
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = time_base or 1 / rate
        context.colorspace, context.color_range = matrix, LIMITED_RANGE
        if facts:
            container.metadata["comment"] = json.dumps(dict(facts), sort_keys=True)
        writer = VideoWriter(container, stream, _copied(path, container, sounds), matrix)
        yield writer
        writer.finish()


def _copied(
    path: Path, container: OutputContainer, sounds: Sequence[AudioStream]
) -> dict[int, AudioStream]:
    """Add streams for copied sound and write the header.

    Raises:
        DataError: the format cannot hold the sound.
    """
    from av.error import FFmpegError

    try:
        copies = {sound.index: container.add_stream_from_template(sound) for sound in sounds}
        container.start_encoding()
    except (FFmpegError, ValueError) as error:
        raise DataError(
            "the format cannot hold the sound of the video",
            file=path,
            value=", ".join(sound.codec_context.name for sound in sounds),
            fix="name the result .mkv",
        ) from error
    return copies


@contextmanager
def _typed(path: Path) -> Iterator[Any]:
    """Turn a failure of PyAV to write `path` into an OutputError."""
    from av.error import FFmpegError

    try:
        yield
    except FFmpegError as error:
        fault = system_cause(error)
        if fault is not None:  # of the place that is written to: `atomic_write` says it
            raise fault from None
        raise OutputError(
            "cannot be written as a video", file=path, value=error.strerror, fix="name another file"
        ) from error
