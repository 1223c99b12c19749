"""Frames of a camera, of tests' own making: a face that moves a little."""

from __future__ import annotations

import io
import math
from pathlib import Path

from PIL import Image

SIZE = (480, 360)


def moving_face(photo: Image.Image, count: int = 8) -> list[bytes]:
    """Return JPEG files of a photo of 512 pixels whose face sways to and fro."""
    files = []
    for i in range(count):
        x, y = 40 + 6 * math.sin(2 * math.pi * i / count), 3 * math.cos(2 * math.pi * i / count)
        frame = photo.transform(SIZE, Image.Transform.AFFINE, (0.9, 0, x, 0, 0.9, y + 4), 3)
        files.append(jpeg(frame))
    return files


def jpeg(image: Image.Image) -> bytes:
    """Return an image as a JPEG file."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def write_camera(path: Path, files: list[bytes]) -> Path:
    """Write frames as a film in MJPEG, which a browser's camera can show; return the path."""
    path.write_bytes(b"".join(files))
    return path
