"""Deep and transparent pictures become RGB as by one formula, in bounded time and memory."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dualstylegan.errors import ImageError
from dualstylegan.io.conversion import STRIP_ROWS, to_upright_srgb
from dualstylegan.io.images import decode_image, read_image
from dualstylegan.io.picture_bounds import NETPBM_HEADER_BYTES

SIZE = (23, STRIP_ROWS + 41)
PEAK = """
import resource, sys
from dualstylegan.io.images import read_image
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
read_image(sys.argv[1])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before >> 10)
"""


def _noise(high: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.random.default_rng(1).uniform(-2, high, SIZE[::-1])


@pytest.mark.parametrize(("high", "full"), [(250, 255), (60000, 65535)])
@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_deep_grey_is_scaled_as_a_whole(
    high: float, full: float, kind: type[np.float32 | np.int32]
) -> None:
    levels = _noise(high).astype(kind)
    expected = np.clip(levels.astype(float) / full * 255, 0, 255).round().astype(np.uint8)
    found = np.asarray(to_upright_srgb(Image.fromarray(levels)))
    assert np.array_equal(found, expected[..., None].repeat(3, 2))


def test_numbers_that_are_none_become_levels() -> None:
    levels = np.full((8, 8), 100, np.float32)
    levels[0, :3] = [np.nan, np.inf, -np.inf]
    found = np.asarray(to_upright_srgb(Image.fromarray(levels)))[..., 0]
    assert found[0, 0] == 0
    assert found[0, 1] == 255
    assert found[0, 2] == 0


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P"])
def test_transparency_lies_on_white_as_a_whole(mode: str) -> None:
    rgba = Image.fromarray(np.random.default_rng(2).integers(0, 256, (*SIZE[::-1], 4), np.uint8))
    image = rgba.convert("RGB").quantize(8) if mode == "P" else rgba.convert(mode)
    if mode == "P":
        image.info["transparency"] = 3
    layered = image.convert("RGBA")
    ground = Image.new("RGBA", SIZE, (255, 255, 255, 255))
    expected = Image.alpha_composite(ground, layered).convert("RGB")
    assert to_upright_srgb(image).tobytes() == expected.tobytes()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts memory in KiB")
def test_the_largest_float_picture_takes_less_than_a_gigabyte(tmp_path: Path) -> None:
    path = tmp_path / "deep.tif"
    Image.new("F", (8000, 8000), 0.5).save(path, compression="tiff_deflate")
    words = [sys.executable, "-c", PEAK, str(path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    assert int(done.stdout) < 1000


@pytest.mark.parametrize("magic", [b"P6", b"P3", b"P4", b"Pf", b"P0CMYK", b"PyRGBA"])
def test_a_netpbm_header_has_an_end(magic: bytes, tmp_path: Path) -> None:
    path = tmp_path / "long.ppm"
    path.write_bytes(magic + b"\n#" + b"x" * 30_000_000 + b"\n10 10\n255\n" + bytes(300))
    start = time.process_time()
    with pytest.raises(ImageError, match="header of the image is too long"):
        read_image(path)
    assert time.process_time() - start < 1


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_netpbm_files_with_comments_are_read(mode: str, tmp_path: Path) -> None:
    Image.effect_mandelbrot((200, 100), (-2, -1, 1, 1), 50).convert(mode).save(tmp_path / "a.ppm")
    magic, rest = (tmp_path / "a.ppm").read_bytes().split(b"\n", 1)
    for comment in (b"", b"# by hand\n", b"#" + b"y" * (NETPBM_HEADER_BYTES - 200) + b"\n"):
        assert decode_image(magic + b"\n" + comment + rest).size == (200, 100)
