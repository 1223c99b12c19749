"""Images as people have them: odd metadata, colour profiles, phone formats, damage."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from dualstylegan.errors import ImageError
from dualstylegan.io.images import read_image

ROWS = np.linspace(0, 255, 32).round().astype(np.uint8)
PIXELS = np.stack(np.broadcast_arrays(ROWS[:, None], ROWS[None], ROWS[::-1, None]), -1)
IMAGE = Image.fromarray(np.ascontiguousarray(PIXELS))
# EXIF types: 2 text, 3 short, 5 rational, 10 signed rational
TURNED = 6


def exif(entries: list[tuple[int, int, int, bytes]], extra: bytes = b"") -> bytes:
    """Return a little-endian EXIF block of entries (tag, type, count, four bytes)."""
    body = struct.pack("<H", len(entries))
    for tag, kind, count, value in entries:
        body += struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")
    return b"Exif\0\0II*\0\x08\0\0\0" + body + struct.pack("<I", 0) + extra


def offset(entries: int) -> bytes:
    """Return where the bytes behind so many entries begin."""
    return struct.pack("<I", 8 + 2 + 12 * entries + 4)


ORIENTATION = (0x0112, 3, 1, struct.pack("<H", TURNED))
ODD = {
    "negative resolution": exif(
        [ORIENTATION, (0x011A, 5, 1, offset(2))], struct.pack("<ii", -1, 1)
    ),
    "text for a resolution": exif([ORIENTATION, (0x011A, 2, 4, b"72.")]),
    "negative exposure": exif([ORIENTATION, (0x829A, 10, 1, offset(2))], struct.pack("<ii", -5, 0)),
    "an offset into nowhere": exif([ORIENTATION, (0x011A, 5, 1, struct.pack("<I", 1 << 30))]),
    "many values for one": exif([ORIENTATION, (0x0128, 3, 60_000, b"\1")]),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_odd_metadata_spoils_no_image(tmp_path: Path, name: str, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    IMAGE.crop((0, 0, 32, 16)).save(path, exif=ODD[name])
    assert read_image(path).size == (16, 32)


@pytest.mark.parametrize(
    "block", [exif([(0x0112, 2, 4, b"up\0")]), b"Exif\0\0garbage", b"Exif\0\0"]
)
def test_an_orientation_that_is_none_leaves_the_image_as_it_is(
    tmp_path: Path, block: bytes
) -> None:
    path = tmp_path / "a.jpg"
    IMAGE.crop((0, 0, 32, 16)).save(path, exif=block)
    assert read_image(path).size == (32, 16)


@pytest.mark.parametrize("turn", range(1, 9))
def test_every_orientation_is_undone(tmp_path: Path, turn: int) -> None:
    """Against Pillow's own exif_transpose, on well-formed metadata."""
    from PIL import ImageOps

    metadata = Image.Exif()
    metadata[0x0112] = turn
    path = tmp_path / "a.png"
    IMAGE.crop((0, 0, 32, 16)).save(path, exif=metadata)
    with Image.open(path) as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened))
    assert np.array_equal(np.asarray(read_image(path)), expected)


def matrix_profile(gamma: float, primaries: NDArray[np.float64]) -> bytes:
    """Return a minimal ICC v2 profile: a gamma curve and three primaries in XYZ (D50)."""

    def s15(values: NDArray[np.float64] | list[float]) -> bytes:
        return b"".join(struct.pack(">i", round(v * 65536)) for v in values)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    name = b"wide"
    text = b"desc\0\0\0\0" + struct.pack(">I", len(name) + 1) + name + b"\0" + bytes(78 + 1)
    tags = {b"desc": text, b"wtpt": b"XYZ \0\0\0\0" + s15([0.9642, 1, 0.8249])}
    tags[b"cprt"] = b"text\0\0\0\0none\0\0\0\0"
    for channel, xyz in zip(b"rgb", primaries.T, strict=True):
        tags[bytes([channel]) + b"XYZ"] = b"XYZ \0\0\0\0" + s15(xyz)
        tags[bytes([channel]) + b"TRC"] = curve
    table, data = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for tag, content in tags.items():
        padded = content + bytes(-len(content) % 4)
        table += tag + struct.pack(">II", start + len(data), len(content))
        data += padded
    size = start + len(data)
    header = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x02100000, b"mntr", b"RGB ", b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + s15([0.9642, 1, 0.8249])
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + data


# ProPhoto's primaries and gamma: red is far outside of sRGB, greys only have another gamma.
WIDE = np.array([[0.7977, 0.1352, 0.0313], [0.2880, 0.7119, 0.0001], [0.0, 0.0, 0.8249]])


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_wide_profile_is_converted_to_srgb(tmp_path: Path, mode: str) -> None:
    grey = np.full((8, 8, 3), 128, np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(grey).convert(mode).save(path, icc_profile=matrix_profile(1.8, WIDE))
    # Linear light 0.502 ** 1.8 = 0.289 is 0.575 in sRGB's curve: level 147.
    levels = np.asarray(read_image(path))[4, 4]
    assert np.abs(levels.astype(int) - 147).max() <= 1
    Image.fromarray(PIXELS).save(path, icc_profile=matrix_profile(1.8, WIDE))
    wide = np.asarray(read_image(path)).astype(int)
    saturation = np.ptp(PIXELS.astype(int), axis=-1).mean()
    assert np.ptp(wide, axis=-1).mean() > saturation


def test_a_profile_of_srgb_changes_no_bit(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = tmp_path / "a.png"
    IMAGE.save(path, icc_profile=profile)
    assert np.array_equal(np.asarray(read_image(path)), PIXELS)


@pytest.mark.parametrize("profile", [b"garbage", bytes(500), matrix_profile(1.8, WIDE)[:200]])
def test_a_broken_profile_is_ignored(tmp_path: Path, profile: bytes) -> None:
    path = tmp_path / "a.png"
    IMAGE.save(path, icc_profile=profile)
    assert np.array_equal(np.asarray(read_image(path)), PIXELS)


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".avif"])
def test_formats_of_browsers_and_phones_are_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    IMAGE.resize((64, 64)).save(path, quality=95)
    expected = np.asarray(IMAGE.resize((64, 64))).astype(int)
    assert np.abs(np.asarray(read_image(path)) - expected).mean() < 8


def test_heic_is_read_or_refused_with_what_to_install(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    path = tmp_path / "a.heic"
    IMAGE.resize((64, 64)).save(path, quality=95)
    assert read_image(path).size == (64, 64)
    code = (
        "import sys; sys.modules['pillow_heif'] = None\n"
        "from dualstylegan.errors import ImageError\n"
        "from dualstylegan.io.images import read_image, scan_images\n"
        "try: read_image(sys.argv[1])\n"
        "except ImageError as error: print(error)\n"
        "print(scan_images(sys.argv[2]).skipped[0][1])"
    )
    command = [sys.executable, "-c", code, str(path), str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.count("pip install pillow-heif") == 2


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "GIF", "AVIF", "BMP"])
def test_damaged_files_are_refused_and_crash_nothing(tmp_path: Path, kind: str) -> None:
    """Bytes flipped and cut at random: an image comes out, or an ImageError, and nothing else."""
    buffer = io.BytesIO()
    IMAGE.save(buffer, kind)
    whole = np.frombuffer(buffer.getvalue(), np.uint8)
    rng = np.random.default_rng(len(kind))
    path, errors = tmp_path / "a.bin", []
    for _ in range(120):
        data = whole.copy()
        places = rng.integers(0, min(len(data), rng.choice([64, len(data)])), rng.integers(1, 8))
        data[places] = rng.integers(0, 256, len(places))
        path.write_bytes(data[: rng.integers(1, len(data) + 1)] if rng.random() < 0.3 else data)  # type: ignore[arg-type]
        try:
            assert read_image(path).mode == "RGB"
        except ImageError as error:
            errors.append(str(error))
    assert len(errors) > 5
    assert all(path.name in error for error in errors)
