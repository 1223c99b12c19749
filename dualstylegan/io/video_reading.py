"""Reading of video files with PyAV, a frame at a time: upright RGB pictures and packets of sound.

PyAV is the extra `video` of the package. Nothing but the file itself is opened: a playlist that
names other files or addresses is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from PIL import Image

from dualstylegan.errors import DataError, SettingsError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# Limit of the sides of a frame: four times those of 4K video.
MAX_SIDE = 16384
MIN_SIDE = 32
# H.264's matrices of colour, by the numbers of the standard; video that names none follows the
# custom: BT.709 from 720 lines on, BT.601 below.
BT709, BT601 = 1, 5
SCALER_MATRIX = {BT709: "itu709", BT601: "itu601", 6: "itu601", 9: "bt2020"}
HD_LINES = 720
# Transposition that turns a picture counterclockwise, by degrees.
TURNS = {
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_270,
}


@dataclass(frozen=True)
class Picture:
    """Frame of a video.

    Attributes:
        image: RGB, upright, with square pixels.
        pts: time at which it is shown, in units of `time_base`.
        time_base: in seconds.
    """

    image: Image.Image
    pts: int
    time_base: Fraction

    @property
    def seconds(self) -> float:
        """Time at which the picture is shown."""
        return float(self.pts * self.time_base)


@dataclass(frozen=True)
class Sound:
    """Packet of sound, as it is in the file.

    Attributes:
        packet: of PyAV, with the stream that it belongs to.
    """

    packet: Packet[Any]


def require_pyav() -> None:
    """Refuse to go on without PyAV.

    Raises:
        SettingsError: names the extra that installs it.
    """
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise SettingsError(
            "videos need PyAV, which is not installed",
            value=error,
            fix="pip install 'dualstylegan[video]'",
        ) from error


class VideoReader:
    """Open video file; `parts` yields its pictures and packets of sound in the order of the file.

    Args:
        path: the file.
        container: of PyAV, open.

    Attributes:
        size: width and height of the upright pictures in pixels.
        matrix: colour matrix of the frames, by H.264's number.
        rate: mean number of frames a second.
        time_base: unit of the timestamps in seconds.
        frames: number of frames as the file tells it, an estimate; None: unknown.
    """

    def __init__(self, path: Path, container: InputContainer) -> None:
        self.path = path
        self._container = container
        if not container.streams.video:
            raise DataError(
                "no video stream", file=path, value=container.format.long_name, fix="give a video"
            )
        self._stream: VideoStream = container.streams.video[0]
        self.sounds = tuple(container.streams.audio)
        self.matrix = BT601
        self.rate = Fraction(self._stream.average_rate or self._stream.guessed_rate or 25)
        self.time_base = Fraction(self._stream.time_base or 1 / self.rate)
        self.frames = self._count()
        self._rest = self._read()
        self._ahead: list[Picture | Sound] = []
        self.size = self._read_first().image.size

    def _count(self) -> int | None:
        stream = self._stream
        if stream.frames:
            return stream.frames
        if stream.duration and stream.time_base:
            return round(float(stream.duration * stream.time_base * self.rate))
        if self._container.duration:
            return round(self._container.duration / 1e6 * float(self.rate))
        return None

    def _read_first(self) -> Picture:
        """Read up to the first picture, whose size and colours the whole video has."""
        for part in self._rest:
            self._ahead.append(part)
            if isinstance(part, Picture):
                return part
        raise DataError("a video without frames", file=self.path, fix="give another file")

    def parts(self) -> Iterator[Picture | Sound]:
        """Yield the pictures and the packets of sound, once; timestamps of pictures rise strictly.

        Raises:
            DataError: the file is broken; says after how many frames.
        """
        ahead, self._ahead = self._ahead, []
        yield from ahead
        ahead.clear()
        yield from self._rest

    def _read(self) -> Iterator[Picture | Sound]:
        count, last = 0, None
        with _typed(self.path, lambda: f"broken after {count} frames"):
            for packet in self._container.demux(self._stream, *self.sounds):
                if packet.stream is not self._stream:
                    if packet.dts is not None:
                        yield Sound(packet)
                    continue
                for frame in self._stream.decode(packet):
                    if frame.pts is None or (last is not None and frame.pts <= last):
                        continue
                    if count == 0:
                        self._check_first(frame)
                    count, last = count + 1, frame.pts
                    yield Picture(self._upright(frame), frame.pts, self.time_base)

    def _check_first(self, frame: VideoFrame) -> None:
        self.matrix = _matrix_of(frame)
        sides = frame.width, frame.height
        if min(sides) < MIN_SIDE or max(sides) > MAX_SIDE:
            raise DataError(
                "frames of a size that cannot be used",
                file=self.path,
                value="{} x {}".format(*sides),
                limit=f"sides of {MIN_SIDE} to {MAX_SIDE} pixels",
                fix="scale the video to such a size",
            )

    def _upright(self, frame: VideoFrame) -> Image.Image:
        """Return a frame as an RGB picture, upright and with square pixels."""
        aspect = self._stream.sample_aspect_ratio or Fraction(1)
        rgb = frame.reformat(
            width=max(1, round(frame.width * float(aspect))),
            height=frame.height,
            format="rgb24",
            src_colorspace=SCALER_MATRIX[self.matrix],
        )
        image = Image.fromarray(rgb.to_ndarray())
        turn = TURNS.get(round(frame.rotation / 90) * 90 % 360)
        return image if turn is None else image.transpose(turn)


@contextmanager
def open_video(path: Path | str) -> Iterator[VideoReader]:
    """Open a video file for reading.

    Raises:
        DataError: the file is missing, is no video, or is broken.
        SettingsError: PyAV is not installed.
    """
    require_pyav()
    import av

    path = Path(path)
    with _typed(path):
        handle = open(path, "rb")  # noqa: SIM115
    with handle:
        with _typed(path):
            container = av.open(handle, "r", io_open=_refuse_others, metadata_errors="replace")
        with container:
            yield VideoReader(path, container)


def _refuse_others(url: str, *_: object) -> NoReturn:
    """Refuse a file or address that a playlist names."""
    raise DataError("the video refers to another file", value=url, fix="give a video of one file")


def _matrix_of(frame: VideoFrame) -> int:
    """Return the number of a frame's colour matrix."""
    if frame.colorspace in SCALER_MATRIX:
        return int(frame.colorspace)
    return BT709 if min(frame.width, frame.height) >= HD_LINES else BT601


@contextmanager
def _typed(path: Path, problem: Callable[[], str] | None = None) -> Iterator[None]:
    """Turn a failure of PyAV or of the operating system to read `path` into a DataError.

    Args:
        path: of the video.
        problem: returns what is wrong, once it has happened.
    """
    from av.error import FFmpegError

    try:
        yield
    except (FFmpegError, OSError) as error:
        said = "cannot be read as a video" if problem is None else problem()
        raise DataError(
            said, file=path, value=error.strerror, fix="check the path, or convert the video to MP4"
        ) from error
