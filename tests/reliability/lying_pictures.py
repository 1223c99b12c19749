"""Hostile pictures whose headers lie: sides, counts, offsets, lengths and bombs, made by hand."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Sequence
from functools import cache

from tests.reliability.strange_pictures import SIDE, Files, picture, saved

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
SIDES = (0, 1, 7, 20_001, 65_535, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
# Types of TIFF: 1 byte, 2 text, 3 short, 4 long, 5 rational, 12 double, 13 directory, 16 long of 8
SHORT, LONG = 3, 4
Entry = tuple[int, int, int, int]


def chunk(kind: bytes, data: bytes, length: int | None = None) -> bytes:
    """Return a chunk of PNG, with a false length if one is given."""
    size = len(data) if length is None else length
    return struct.pack(">I", size) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    width: int = SIDE,
    height: int = SIDE,
    depth: int = 8,
    colour: int = 2,
    interlaced: int = 0,
    before: bytes = b"",
    pixels: bytes = bytes((1 + 3 * SIDE) * SIDE),
    level: int = 1,
) -> bytes:
    """Return a PNG file of a header, chunks before the pixels, and pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    body = chunk(b"IHDR", header) + before + chunk(b"IDAT", zlib.compress(pixels, level))
    return PNG_MAGIC + body + chunk(b"IEND", b"")


def tiff(
    entries: Sequence[Entry], data: bytes = b"", *, following: int = 0, big: bool = False
) -> bytes:
    """Return a TIFF file of one directory of (tag, type, count, value); data begin at 512."""
    order = ">" if big else "<"
    body = struct.pack(f"{order}H", len(entries))
    for tag, kind, count, value in entries:
        body += struct.pack(f"{order}HHI", tag, kind, count)
        narrow = kind == SHORT and count == 1
        body += struct.pack(f"{order}H2x" if narrow else f"{order}I", value)
    head = (b"MM\0*" if big else b"II*\0") + struct.pack(f"{order}I", 8)
    head += body + struct.pack(f"{order}I", following)
    return head.ljust(512, b"\0") + data


def plain_tiff(
    width: int = SIDE,
    height: int = SIDE,
    bits: int = 8,
    compression: int = 1,
    photometric: int = 1,
    samples: int = 1,
    data: bytes = bytes(SIDE * SIDE * 4),
    more: Sequence[Entry] = (),
    without: Sequence[int] = (),
) -> bytes:
    """Return a TIFF of one strip; `more` replaces and adds entries, `without` removes some."""
    entries = {
        256: (256, LONG, 1, width),
        257: (257, LONG, 1, height),
        258: (258, SHORT, 1, bits),
        259: (259, SHORT, 1, compression),
        262: (262, SHORT, 1, photometric),
        273: (273, LONG, 1, 512),
        277: (277, SHORT, 1, samples),
        278: (278, LONG, 1, height),
        279: (279, LONG, 1, len(data)),
    }
    entries.update({entry[0]: entry for entry in more})
    kept = [entries[tag] for tag in sorted(entries) if tag not in without]
    return tiff(kept, data)


def _pngs() -> Files:
    for side in SIDES:
        yield f"PNG width {side}", png(width=side)
        yield f"PNG height {side}", png(height=side)
    for depth in (0, 1, 2, 4, 16, 255):
        for colour in (0, 3, 4, 6, 255):
            yield f"PNG depth {depth} colour {colour}", png(depth=depth, colour=colour)
    for interlaced in (1, 255):
        yield f"PNG interlaced {interlaced}", png(interlaced=interlaced)
    zeros = zlib.compress(bytes(30 << 20), 9)
    chunks = {
        "zTXt bomb": chunk(b"zTXt", b"a\0\0" + zeros),
        "zTXt bombs": chunk(b"zTXt", b"a\0\0" + zeros) * 20,
        "iTXt bomb": chunk(b"iTXt", b"a\0\1\0\0\0" + zeros),
        "iCCP bomb": chunk(b"iCCP", b"a\0\0" + zeros),
        "tEXt many": chunk(b"tEXt", b"a\0b") * 20_000,
        "tEXt alone": chunk(b"tEXt", b""),
        "no palette": chunk(b"PLTE", b""),
        "odd palette": chunk(b"PLTE", bytes(1000)),
        "tRNS empty": chunk(b"tRNS", b""),
        "tRNS long": chunk(b"tRNS", bytes(5000)),
        "no frames": chunk(b"acTL", struct.pack(">II", 0, 0)),
        "many frames": chunk(b"acTL", struct.pack(">II", 1 << 31, 0)),
        "animation of many pixels": chunk(
            b"IHDR", struct.pack(">IIBBBBB", 24, 1 << 24, 8, 2, 0, 0, 0)
        )
        + chunk(b"acTL", struct.pack(">II", 3, 0)),
        "chunks without end": chunk(b"abcd", b"") * 300_000,
        "short acTL": chunk(b"acTL", b"a"),
        "frame outside": chunk(b"acTL", struct.pack(">II", 2, 0))
        + chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 9999, 9999, 5, 5, 1, 0, 9, 9)),
        "pHYs empty": chunk(b"pHYs", b""),
        "gAMA": chunk(b"gAMA", b"\0"),
        "cHRM": chunk(b"cHRM", b"\0" * 5),
        "sRGB": chunk(b"sRGB", b""),
        "eXIf": chunk(b"eXIf", b"II*\0\xff\xff\xff\xff"),
        "second header": chunk(b"IHDR", struct.pack(">IIBBBBB", 9999, 9999, 8, 2, 0, 0, 0)),
        "long chunk": chunk(b"tEXt", b"a\0b", (1 << 31) - 1),
        "lower case": chunk(b"abcd", bytes(100)),
        "upper case": chunk(b"ABCD", bytes(100)),
    }
    for name, before in chunks.items():
        yield f"PNG {name}", png(before=before)
    yield "PNG pixels bomb", png(pixels=bytes(64 << 20), level=9)
    raw = b"raw profile type exif\0\0" + zlib.compress(b"\nexif\n 99999\n" + b"4578" * 50)
    yield "PNG raw exif", png(before=chunk(b"zTXt", raw))
    yield "PNG of text for EXIF", png(before=chunk(b"tEXt", b"Raw profile type exif\0\n\n\n zz"))


@cache
def _zeros(count: int) -> bytes:
    return zlib.compress(bytes(count), 6)


def _tiffs() -> Files:
    for side in SIDES:
        yield f"TIFF width {side}", plain_tiff(width=side)
        yield f"TIFF height {side}", plain_tiff(height=side)
    for bits in (0, 1, 3, 12, 16, 24, 32, 64, 65_535):
        for samples in (0, 1, 3, 4, 9, 65_535):
            name = f"TIFF {bits} bits {samples} samples"
            yield name, plain_tiff(bits=bits, samples=samples, photometric=2 if samples > 1 else 1)
    for compression in (0, 2, 3, 4, 5, 6, 7, 8, 34_676, 34_887, 34_925, 50_000, 50_001, 65_535):
        yield f"TIFF compression {compression}", plain_tiff(compression=compression)
    for photometric in (0, 3, 5, 6, 8, 32_803, 65_535):
        yield f"TIFF photometric {photometric}", plain_tiff(photometric=photometric, samples=3)
    for tag in (256, 258, 259, 262, 273, 277, 278, 279):
        yield f"TIFF without {tag}", plain_tiff(without=(tag,))
        for kind in (2, 5, 7, 12, 13, 16, 99):
            yield f"TIFF {tag} type {kind}", plain_tiff(more=[(tag, kind, 1, 8)])
        yield f"TIFF {tag} many", plain_tiff(more=[(tag, LONG, 1 << 30, 8)])
    for name, more in {
        "no rows": [(278, LONG, 1, 0)],
        "endless rows": [(278, LONG, 1, (1 << 32) - 1)],
        "strip outside": [(273, LONG, 1, 1 << 31)],
        "strip too long": [(279, LONG, 1, 1 << 31)],
        "planes": [(284, SHORT, 1, 2), (277, SHORT, 1, 4)],
        "complex": [(339, SHORT, 1, 6)],
        "floats": [(339, SHORT, 1, 3), (258, SHORT, 1, 32)],
        "predictor": [(317, SHORT, 1, 3), (259, SHORT, 1, 8)],
        "fill order": [(266, SHORT, 1, 2)],
        "orientation": [(274, SHORT, 1, 6)],
        "orientation of text": [(274, 2, 4, 0x41414141)],
        "directory of itself": [(330, LONG, 1, 8)],
        "directories": [(330, LONG, 1 << 20, 8)],
        "EXIF in itself": [(34_665, LONG, 1, 8)],
        "GPS in itself": [(34_853, LONG, 1, 8)],
        "palette": [(320, SHORT, 3, 512), (262, SHORT, 1, 3)],
        "long palette": [(320, SHORT, 1 << 28, 512), (262, SHORT, 1, 3)],
        "extra samples": [(338, SHORT, 100, 512)],
        "JPEG tables": [(347, 7, 500, 512), (259, SHORT, 1, 7)],
    }.items():
        yield f"TIFF {name}", plain_tiff(more=more)
    for side in (16, 4096, 16_384, 40_000, 1 << 20):
        packed = _zeros(min(side * side, 1 << 28))
        tiles = [(322, LONG, 1, side), (323, LONG, 1, side)]
        tiles += [(324, LONG, 1, 512), (325, LONG, 1, len(packed))]
        name = f"TIFF tile {side}"
        yield name, plain_tiff(data=packed, compression=8, more=tiles, without=(273, 278, 279))
    shorts = struct.pack("<H", 999) * 1_000_000
    yield "TIFF of a million lengths", plain_tiff(data=shorts, more=[(279, SHORT, 1_000_000, 512)])
    yield "TIFF directories in a ring", tiff([(256, LONG, 1, 9), (257, LONG, 1, 9)], following=8)
    yield "TIFF of no entry", tiff([])
    yield "TIFF of many entries", tiff([(tag, SHORT, 1, 1) for tag in range(40)])
    yield "TIFF big-endian", tiff([(256, LONG, 1, 9), (257, LONG, 1, 9)], big=True)
    yield "TIFF cut in its head", b"II*\0\x08"
    yield "BigTIFF", b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 1 << 60) + bytes(99)


def scans(side: int, count: int) -> bytes:
    """Return a progressive JPEG with a scan repeated: each costs a pass over all pixels."""
    whole = saved(picture("L", side), "JPEG", progressive=True, quality=5)
    start = whole.rindex(b"\xff\xda")
    end = whole.rindex(b"\xff\xd9")
    return whole[:end] + whole[start:end] * count + whole[end:]


def _jpegs() -> Files:
    data = saved(picture("RGB"), "JPEG")
    frame = data.index(b"\xff\xc0")
    for side in (0, 1, 7, 20_001, 65_535):
        packed = struct.pack(">H", side)
        yield f"JPEG height {side}", data[: frame + 5] + packed + data[frame + 7 :]
        yield f"JPEG width {side}", data[: frame + 7] + packed + data[frame + 9 :]
    for parts in (0, 2, 4, 255):
        yield f"JPEG {parts} channels", data[: frame + 9] + bytes([parts]) + data[frame + 10 :]
    for bits in (0, 12, 16):
        yield f"JPEG {bits} bits", data[: frame + 4] + bytes([bits]) + data[frame + 5 :]
    for marker in (0xC1, 0xC3, 0xC9, 0xCB, 0xCF):
        yield f"JPEG frame {marker:x}", data[: frame + 1] + bytes([marker]) + data[frame + 2 :]
    for name, segment in {
        "long": b"\xff\xe1\xff\xff" + bytes(100),
        "empty": b"\xff\xe1\0\2",
        "short": b"\xff\xe1\0\0",
        "MPF": b"\xff\xe2\0\x20MPF\0II*\0\x08\0\0\0\xff\xff" + bytes(14),
        "Adobe": b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\xff",
        "photoshop": b"\xff\xed\0\x20Photoshop 3.0\0008BIM\x03\xed\xff\0\0\0\xff\xff\xff\xff",
        "ICC of 255 parts": b"\xff\xe2\0\x20ICC_PROFILE\0\1\xff" + bytes(16),
        "many": b"\xff\xe5\0\4ab" * 50_000,
        "without end": b"\xff\xe5\0\2" * 300_000,
    }.items():
        yield f"JPEG segment {name}", data[:2] + segment + data[2:]
    yield "JPEG scans", scans(SIDE, 20_000)
    yield "JPEG without tables", data[:2] + data[frame:]
    yield "JPEG of fill bytes", data[:2] + b"\xff" * 100_000 + data[2:]


def _others() -> Files:
    for magic in ("P1", "P2", "P3", "P4", "P5", "P6", "Pf", "PF", "P7", "PyP", "P0CMYK", "PyRGBA"):
        for name, text in {
            "large": "99999 99999\n255\n",
            "zero": "0 0\n255\n",
            "negative": "-5 9\n255\n",
            "no maximum": "9 9\n0\n",
            "deep": "9 9\n65536\n",
            "scale": "9 9\nnan\n",
            "words": "a b c ",
            "long word": "9" * 5000,
            "comment": "#" + "x" * 100_000 + "\n9 9\n255\n",
        }.items():
            yield f"{magic} {name}", f"{magic}\n{text}".encode() + b"1 2 3 " * 300
    bitmap = saved(picture("P"), "BMP")
    for place, what in ((18, "width"), (22, "height"), (10, "offset"), (46, "colours")):
        for value in SIDES:
            packed = struct.pack("<I", value)
            yield f"BMP {what} {value}", bitmap[:place] + packed + bitmap[place + 4 :]
    for compression in (1, 2, 3, 4, 5, 6, 99):
        packed = struct.pack("<I", compression)
        yield f"BMP compression {compression}", bitmap[:30] + packed + bitmap[34:]
    for size in (0, 12, 64, 124, 999, (1 << 32) - 1):
        yield f"BMP header {size}", bitmap[:14] + struct.pack("<I", size) + bitmap[18:]
    gif = saved(picture("P"), "GIF")
    for side in (0, 1, 65_535):
        packed = struct.pack("<HH", side, side)
        yield f"GIF screen {side}", gif[:6] + packed + gif[10:]
        frame = gif.index(b",", 13 + 3 * 16)
        yield f"GIF frame {side}", gif[: frame + 5] + packed + gif[frame + 9 :]
    comments = b"!\xfe\1x\0" * 300_000
    yield "GIF of comments", gif[: 13 + 3 * 16] + comments + gif[13 + 3 * 16 :]
    webp = saved(picture("RGBA"), "WEBP", exif=b"Exif\0\0II*\0")
    at = webp.index(b"VP8X") + 12
    for side in (0, 7, 16_383, (1 << 24) - 1):
        packed = struct.pack("<I", side)[:3]
        yield f"WebP side {side}", webp[:at] + packed + packed + webp[at + 6 :]
    avif = saved(picture("RGB"), "AVIF")
    if avif:
        at = avif.index(b"ispe") + 8
        for side in SIDES:
            yield f"AVIF side {side}", avif[:at] + struct.pack(">II", side, side) + avif[at + 8 :]
    yield "nothing at all", b""
    rng = random.Random(3)
    for kind in (b"", PNG_MAGIC, b"\xff\xd8\xff", b"GIF89a", b"BM", b"II*\0", b"MM\0*", b"P6\n"):
        yield f"noise {kind.hex()}", kind + rng.randbytes(3000)
    for head in (
        b"%PDF-1.4",
        b"%!PS-Adobe",
        b"<svg",
        b"<html>",
        b"\x7fELF",
        b"PK\3\4",
        b"8BPS\0\1",
    ):
        yield f"another {head.hex()}", head + rng.randbytes(500)


def lying() -> Files:
    """Yield files whose headers lie."""
    for source in (_pngs, _tiffs, _jpegs, _others):
        yield from source()
