"""Reading what people have, refusing what is not an image, writing the same bytes for the same."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dualstylegan.errors import DataError, ImageError
from dualstylegan.io.images import (
    decode_image,
    image_size,
    image_to_tensor,
    list_images,
    make_grid,
    png_bytes,
    read_image,
    scan_images,
    tensor_to_image,
    thumbnail,
    write_png,
)

RAMP = np.tile(np.linspace(0, 255, 32).round().astype(np.uint8), (24, 1))


def saved(image: Image.Image, path: Path) -> Path:
    image.save(path)
    return path


def test_grey_16_bit_and_8_bit_agree(tmp_path: Path) -> None:
    eight = read_image(saved(Image.fromarray(RAMP), tmp_path / "a.png"))
    deep = read_image(saved(Image.fromarray(RAMP.astype(np.uint16) * 257), tmp_path / "b.png"))
    assert eight.mode == deep.mode == "RGB"
    assert np.array_equal(np.asarray(eight), np.asarray(deep))


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1", "CMYK"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    suffix = ".jpg" if mode == "CMYK" else ".png"
    image = read_image(saved(Image.fromarray(RAMP).convert(mode), tmp_path / f"x{suffix}"))
    assert image.mode == "RGB"
    assert image.size == (32, 24)
    levels = np.asarray(image).mean((0, 2))
    assert levels[0] < 30
    assert levels[-1] > 225


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (16, 16), (255, 0, 0, 0))
    assert np.asarray(read_image(saved(image, tmp_path / "a.png"))).min() == 255


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, :16] = 255
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif, quality=95)
    upright = np.asarray(read_image(tmp_path / "a.jpg"))
    assert upright.shape == (32, 16, 3)
    assert upright[:14].mean() > 240
    assert upright[18:].mean() < 15


def test_text_and_truncated_files_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.png"
    text.write_text("not an image")
    cut = tmp_path / "cut.png"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    cut.write_bytes(png_bytes(Image.fromarray(noise))[:3000])
    for path in (text, cut):
        with pytest.raises(ImageError, match=path.name):
            read_image(path)
    with pytest.raises(ImageError, match="no such"):
        read_image(tmp_path / "absent.png")


def test_a_huge_header_is_refused_before_decoding(tmp_path: Path) -> None:
    header = b"IHDR" + struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    data = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    path = tmp_path / "huge.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data + b"\0\0\0\0IDAT5\xaf\x06\x1e")
    with pytest.raises(ImageError, match="too large"):
        read_image(path)


def test_tensors_round_trip_and_clamp(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    x = image_to_tensor(Image.fromarray(pixels))
    assert x.shape == (3, 20, 30)
    assert x.min() >= -1
    assert x.max() <= 1
    assert np.array_equal(np.asarray(tensor_to_image(x)), pixels)
    assert image_to_tensor(Image.fromarray(pixels), 16).shape == (3, 16, 16)
    assert np.asarray(tensor_to_image(torch.full((3, 4, 4), 7.0))).min() == 255
    write_png(tmp_path / "a.png", Image.fromarray(pixels))
    write_png(tmp_path / "b.png", read_image(tmp_path / "a.png"))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_folders_are_listed_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no images"):
        list_images(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        list_images(tmp_path / "absent")
    for name in ("b.png", "a.JPG", ".hidden.png", "notes.txt"):
        (tmp_path / name).touch()
    assert [p.name for p in list_images(tmp_path)] == ["a.JPG", "b.png"]
    (tmp_path / "b.jpg").touch()
    with pytest.raises(DataError, match="one name"):
        list_images(tmp_path)


def test_what_is_not_taken_from_a_folder_is_named(tmp_path: Path) -> None:
    for name in ("a.jfif", "b.avif", "c.heic", ".DS_Store", "Thumbs.db", "notes.txt", "clip"):
        (tmp_path / name).touch()
    (tmp_path / "more.png").mkdir()
    (tmp_path / "gone.png").symlink_to(tmp_path / "absent")
    (tmp_path / "linked.jpg").symlink_to(tmp_path / "a.jfif")
    found = scan_images(tmp_path)
    assert [p.name for p in found.paths] == ["a.jfif", "b.avif", "c.heic", "linked.jpg"]
    assert [p.name for p, _ in found.skipped] == ["clip", "gone.png", "more.png", "notes.txt"]
    reasons = {p.name: reason for p, reason in found.skipped}
    assert "folder" in reasons["more.png"]
    assert ".txt" in reasons["notes.txt"]
    assert "broken link" in reasons["gone.png"]


def test_grid_places_cells_in_rows() -> None:
    cells = [Image.new("RGB", (10, 10), (c, 0, 0)) for c in (50, 100, 150)]
    sheet = np.asarray(make_grid(cells, 2, gap=2))
    assert sheet.shape == (26, 26, 3)
    assert [sheet[5, 5, 0], sheet[5, 17, 0], sheet[17, 5, 0], sheet[17, 17, 0]] == [
        *(50, 100, 150, 255)
    ]


def test_thumbnails_are_small_and_repeatable() -> None:
    image = Image.new("RGB", (256, 200), "red")
    data = thumbnail(image, 96)
    assert Image.open(io.BytesIO(data)).size == (96, 75)
    assert data == thumbnail(image, 96)
    assert image.size == (256, 200)


def test_a_file_in_memory_is_not_copied_to_be_looked_at() -> None:
    file = io.BytesIO()
    Image.new("RGB", (30, 20)).save(file, "TIFF")
    data = file.getvalue() + bytes(32 << 20)
    tracemalloc.start()
    assert image_size(data) == decode_image(data).size == (30, 20)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20
