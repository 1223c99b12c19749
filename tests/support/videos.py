"""Small videos, made by PyAV itself: frames at any times, turned, with sound or without."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

MILLISECOND = Fraction(1, 1000)
SOUND_RATE = 8000


def make_video(
    path: Path,
    images: Sequence[Image.Image],
    milliseconds: Sequence[int] | None = None,
    *,
    turned: int = 0,
    sound: str | None = None,
) -> Path:
    """Write frames, 40 ms apart unless told; return the path.

    Args:
        path: the suffix tells the format.
        images: of one size, even on both sides.
        milliseconds: time of each frame.
        turned: degrees by which players turn the frames counterclockwise.
        sound: codec of a tone of half a second.
    """
    times = milliseconds or [40 * i for i in range(len(images))]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "12"})
        stream.width, stream.height = images[0].size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = MILLISECOND
        if turned:
            stream.set_display_rotation(turned)
        tone = None if sound is None else container.add_stream(sound, rate=SOUND_RATE)
        for image, time in zip(images, times, strict=True):
            frame = av.VideoFrame.from_ndarray(np.asarray(image.convert("RGB")))
            frame.pts, frame.time_base = time, MILLISECOND
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if tone is not None:
            assert isinstance(tone, av.AudioStream)
            for start in range(0, SOUND_RATE // 2, 1000):
                wave = 8000 * np.sin((start + np.arange(1000)) / 3)
                samples = np.repeat(wave.astype(np.int16), 2)[None]
                piece = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
                piece.sample_rate, piece.pts = SOUND_RATE, start
                container.mux(tone.encode(piece))
            container.mux(tone.encode(None))
    return path
