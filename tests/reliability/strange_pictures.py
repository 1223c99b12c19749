"""Hostile pictures, made here: every format and mode that is read, cut, and badly described."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

SIDE = 24
Files = Iterator[tuple[str, bytes]]

# Modes of a format, and the options by which each is saved.
SAVED: dict[str, tuple[tuple[str, ...], tuple[dict[str, Any], ...]]] = {
    "PNG": (("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I"), ({}, {"bits": 4}, {"dpi": (1, 2)})),
    "JPEG": (
        ("L", "RGB", "CMYK", "YCbCr"),
        ({}, {"progressive": True}, {"restart_marker_rows": 1}, {"comment": b"x" * 999}),
    ),
    "WEBP": (("L", "LA", "P", "RGB", "RGBA"), ({}, {"lossless": True}, {"quality": 1})),
    "AVIF": (("L", "RGB", "RGBA"), ({}, {"subsampling": "4:4:4"}, {"quality": 1})),
    "BMP": (("1", "L", "P", "RGB", "RGBA"), ({}, {"dpi": (1, 1)})),
    "TIFF": (
        (
            *("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB"),
            *("I;16", "I;16B", "I", "F"),
        ),
        (
            {},
            {"big_tiff": True},
            {"strip_size": 64},
            *({"compression": f"tiff_{name}"} for name in ("lzw", "adobe_deflate")),
            *({"compression": name} for name in ("packbits", "zstd", "lzma")),
        ),
    ),
    "GIF": (("1", "L", "P", "RGB", "RGBA"), ({}, {"interlace": 0}, {"transparency": 3})),
    "PPM": (("1", "L", "RGB", "RGBA", "I;16", "I", "F"), ({},)),
}
ANIMATED = ("PNG", "WEBP", "AVIF", "GIF", "TIFF")
DESCRIBED = ("PNG", "JPEG", "WEBP", "AVIF", "TIFF")


def picture(mode: str, side: int = SIDE, seed: int = 0) -> Image.Image:
    """Return a small picture of any mode: half a gradient, half noise."""
    rng = np.random.default_rng(seed)
    levels_HW4 = rng.integers(0, 256, (side, side, 4), np.uint8)
    levels_HW4[: side // 2] = np.linspace(0, 255, side).astype(np.uint8)[None, :, None]
    if mode in ("I;16", "I;16B"):
        return Image.frombytes(mode, (side, side), levels_HW4[..., :2].tobytes())
    if mode in ("I", "F"):
        wide_HW = levels_HW4[..., 0].astype(np.int32 if mode == "I" else np.float32) * 257
        return Image.fromarray(wide_HW)
    if mode in ("LAB", "YCbCr"):
        return Image.frombytes(mode, (side, side), levels_HW4[..., :3].tobytes())
    if mode == "CMYK":
        return Image.frombytes(mode, (side, side), levels_HW4.tobytes())
    rgba = Image.fromarray(levels_HW4)
    if mode in ("P", "PA"):
        indexed = rgba.convert("RGB").quantize(16)
        return indexed if mode == "P" else indexed.convert("PA")
    return rgba.convert(mode)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Return the file of a picture; empty where this Pillow cannot write it."""
    buffer = io.BytesIO()
    try:
        image.save(buffer, kind, **options)
    except Exception:  # of metadata that are wrong Pillow's writers say it in many ways
        return b""
    return buffer.getvalue()


def whole() -> Files:
    """Yield files of every format, mode and way to save."""
    for kind, (modes, ways) in SAVED.items():
        for mode in modes:
            for number, options in enumerate(ways):
                yield f"{kind} {mode} {number}", saved(picture(mode), kind, **options)
    fax = picture("1")
    for name in ("group3", "group4", "tiff_ccitt"):
        yield f"TIFF 1 {name}", saved(fax, "TIFF", compression=name)
    for mode in ("L", "RGB"):
        yield f"TIFF {mode} jpeg", saved(picture(mode), "TIFF", compression="jpeg")


def animations() -> Files:
    """Yield files of several pictures."""
    for kind in ANIMATED:
        for mode in ("L", "P", "RGB", "RGBA"):
            frames = [picture(mode, SIDE, seed) for seed in range(3)]
            for number, options in enumerate(({}, {"duration": 7, "loop": 2}, {"disposal": 2})):
                data = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
                yield f"{kind} {mode} frames {number}", data
    frames = [picture("RGB"), picture("RGB", SIDE, 1)]
    yield "MPO", saved(frames[0], "MPO", save_all=True, append_images=frames[1:])


def exif_block(entries: list[tuple[int, int, int, bytes]], following: int = 0) -> bytes:
    """Return an EXIF block of entries (tag, type, count, four bytes)."""
    body = struct.pack("<H", len(entries))
    for tag, kind, count, value in entries:
        body += struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")[:4]
    return b"Exif\0\0II*\0\x08\0\0\0" + body + struct.pack("<I", following)


def descriptions() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield metadata, most of it wrong, as options of Pillow's writers."""
    for turn in (0, 2, 5, 6, 8, 9, 65535):
        block = exif_block([(0x0112, 3, 1, struct.pack("<H", turn))])
        yield f"orientation {turn}", {"exif": block}
    odd = {
        "text": exif_block([(0x0112, 2, 4, b"up\0")]),
        "many": exif_block([(0x0112, 3, 1 << 30, b"\6")]),
        "rational": exif_block([(0x0112, 5, 1, b"\xff\xff\xff\xff")]),
        "of no type": exif_block([(0x0112, 999, 1, b"\6")]),
        "endless": exif_block([(0x8769, 4, 1, struct.pack("<I", 8))], 8),
        "interop": exif_block([(0x8769, 4, 1, b"\x1a"), (0xA005, 4, 1, b"\x08")]),
        "entries": exif_block([(tag, 3, 1, b"\1") for tag in range(3000)]),
        "maker": exif_block([(0x927C, 7, 60_000, b"\x08")]),
        "garbage": b"Exif\0\0" + random.Random(1).randbytes(300),
        "nothing": b"Exif\0\0",
        "half": b"Exif\0\0II*\0",
        "backwards": b"Exif\0\0MM\0*\0\0\0\x08\xff\xff",
    }
    for name, block in odd.items():
        yield f"exif {name}", {"exif": block}
    for name, profile in {
        "garbage": b"garbage",
        "zeros": bytes(500),
        "acsp": bytes(36) + b"acsp" + bytes(200),
        "large": random.Random(2).randbytes(40_000),
    }.items():
        yield f"icc {name}", {"icc_profile": profile}
    yield "xmp", {"xmp": b'<x tiff:Orientation="6"' + b"<a>" * 2000}


def described() -> Files:
    """Yield files with wrong metadata."""
    for kind in DESCRIBED:
        for name, options in descriptions():
            yield f"{kind} {name}", saved(picture("RGB"), kind, **options)
    for mode in ("L", "LA", "P", "RGBA", "CMYK", "I;16"):
        kind = "TIFF" if mode == "CMYK" else "PNG"
        for name, options in descriptions():
            if name in ("orientation 6", "icc zeros"):
                yield f"{mode} {name}", saved(picture(mode), kind, **options)


def cut() -> Files:
    """Yield the beginnings of files."""
    for kind, (modes, _) in SAVED.items():
        for mode in modes[:: max(1, len(modes) // 3)]:
            data = saved(picture(mode), kind)
            for share in (0.02, 0.2, 0.5, 0.9):
                yield f"{kind} {mode} cut {share}", data[: int(len(data) * share)]


def corpus() -> dict[str, bytes]:
    """Return all hostile pictures by name; those that this Pillow cannot write are left out."""
    from tests.reliability.lying_pictures import lying

    files: dict[str, bytes] = {}
    for source in (whole, animations, described, cut, lying):
        files.update((name, data) for name, data in source() if data or name == "nothing at all")
    return files
