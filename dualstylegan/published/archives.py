"""Parsers of the published containers: torch's zip, torch's older stream, numpy's npy.

Every offset, size and checksum is checked before a byte is used. The module runs inside the
restricted reader process and imports the standard library alone.
"""

from __future__ import annotations

import io
import math
import mmap
import struct
import zlib
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from dualstylegan.published.pickles import (
    STORAGES,
    Array,
    Machine,
    Refused,
    Storage,
    Tensor,
    is_count,
    require,
)

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
NPY_MAGIC = b"\x93NUMPY"
# What numpy writes for np.save(path, a_dictionary).
NPY_HEADER = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }"
ZIP_MAGIC = b"PK\x03\x04"
MAX_ENTRIES = 65_535
MAX_PICKLE_BYTES = 64 << 20
MAX_HEADER_BYTES = 4096
MAX_SIDE = 1 << 31
# Entries that torch writes beside the pickle and the storages; none of them holds weights.
SIDE_ENTRIES = frozenset({"version", ".format_version", ".storage_alignment", "byteorder"})
SERIALIZATION_ID = ".data/serialization_id"

ITEM_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1,
}  # fmt: skip
NUMPY_TYPES = {
    "f8": "F64", "f4": "F32", "f2": "F16", "i8": "I64", "i4": "I32", "i2": "I16", "i1": "I8",
    "u1": "U8", "b1": "BOOL",
}  # fmt: skip


@dataclass(frozen=True)
class Span:
    """Bytes of the file: start and length."""

    start: int
    length: int


@dataclass(frozen=True)
class Document:
    """Content of a file: a tree of plain values, tensors and arrays, and the storages' bytes."""

    tree: Any
    spans: dict[str, Span]


def open_document(data: mmap.mmap) -> Document:
    """Read a file of any published container.

    Raises:
        Refused: the container is unknown or damaged, or holds anything but data.
    """
    head = bytes(data[:6])
    if head[:4] == ZIP_MAGIC:
        return _open_zip(data)
    if head == NPY_MAGIC:
        return _open_npy(data)
    require(head[:1] == b"\x80", "neither torch's zip, torch's older stream nor numpy's npy format")
    return _open_legacy(data)


def _open_zip(data: mmap.mmap) -> Document:
    entries = zip_entries(data)
    roots = {name.split("/", 1)[0] for name in entries}
    require(len(roots) == 1, "an archive of more than one folder")
    inner = {name.split("/", 1)[1]: span for name, span in entries.items() if "/" in name}
    require(len(inner) == len(entries), "an archive with files beside its folder")
    require("data.pkl" in inner, "an archive without data.pkl")
    storages = {}
    for name, span in inner.items():
        if name.startswith("data/") and name[5:].isdecimal():
            storages[name[5:]] = span
        elif name not in SIDE_ENTRIES and name not in ("data.pkl", SERIALIZATION_ID):
            raise Refused(f"the archive entry {name[:200]!r}")
    if "byteorder" in inner:
        require(_cut(data, inner["byteorder"]) == b"little", "big-endian storages")
    require(inner["data.pkl"].length <= MAX_PICKLE_BYTES, "an oversized data.pkl")
    used: dict[str, Storage] = {}

    def find(key: tuple[Any, ...]) -> Storage:
        storage = _storage(key, used)
        require(storage.key in storages, f"a storage that is not there: {storage.key[:80]!r}")
        length = storage.count * ITEM_BYTES[storage.dtype]
        require(storages[storage.key].length == length, "a storage of another size than it says")
        return storage

    stream = io.BytesIO(_cut(data, inner["data.pkl"]))
    tree = Machine(stream, find).run()
    require(stream.tell() == inner["data.pkl"].length, "bytes after the end of data.pkl")
    unused = sorted(set(storages) - set(used))
    require(not unused, f"storages that nothing refers to: {unused[:8]}")
    return Document(tree, storages)


def _storage(key: tuple[Any, ...], used: dict[str, Storage]) -> Storage:
    """Return the storage of a persistent id, one object per key."""
    _, typename, name, _, count, *views = key
    require(isinstance(name, str) and is_count(count), "malformed storage")
    require(all(view is None for view in views), "a storage that is a view of another")
    storage = used.setdefault(name, Storage(name, STORAGES[typename.path], count))
    same = (storage.dtype, storage.count) == (STORAGES[typename.path], count)
    require(same, "a storage of two types or sizes")
    return storage


def _cut(data: mmap.mmap, span: Span) -> bytes:
    return bytes(data[span.start : span.start + span.length])


def _unpack(layout: str, data: mmap.mmap, start: int) -> tuple[Any, ...]:
    size = struct.calcsize(layout)
    require(0 <= start <= len(data) - size, "an offset outside the file")
    return struct.unpack(layout, data[start : start + size])


def zip_entries(data: mmap.mmap) -> dict[str, Span]:
    """Return an archive's entries by name: uncompressed, not overlapping, checksums verified.

    The format is parsed here (PKWARE APPNOTE 4.3): lenient readers accept malformed archives.
    """
    count, size, start = _directory(data)
    entries: dict[str, Span] = {}
    cursor, end = start, start + size
    for _ in range(count):
        fields = _unpack("<4s6H3I5H2I", data, cursor)
        require(fields[0] == b"PK\x01\x02", "malformed archive directory")
        flags, method, crc, packed, length = fields[3], fields[4], *fields[7:10]
        name_length, extra_length, comment_length = fields[10:13]
        offset = fields[16]
        text = cursor + 46
        name_bytes = _cut(data, Span(text, name_length))
        try:
            name = name_bytes.decode("utf-8")
        except UnicodeDecodeError as error:
            raise Refused("an archive entry whose name is not UTF-8") from error
        extra = _cut(data, Span(text + name_length, extra_length))
        length, packed, offset = _zip64(extra, length, packed, offset)
        require(method == 0 and length == packed, f"the compressed archive entry {name[:200]!r}")
        require(not flags & 0x2041, f"the encrypted archive entry {name[:200]!r}")
        require(name not in entries, f"two archive entries named {name[:200]!r}")
        require(".." not in name.split("/") and name[:1] != "/", f"the entry {name[:200]!r}")
        entries[name] = _entry(data, name_bytes, offset, length, crc)
        cursor = text + name_length + extra_length + comment_length
    require(cursor == end, "malformed archive directory")
    spans = sorted(entries.values(), key=lambda span: span.start)
    for before, after in zip(spans, [*spans[1:], Span(start, 0)], strict=True):
        require(before.start + before.length <= after.start, "archive entries that overlap")
    return entries


def _directory(data: mmap.mmap) -> tuple[int, int, int]:
    """Return entry count, size and start of the central directory, which must end at the tail."""
    tail = data.rfind(b"PK\x05\x06")
    require(tail >= 0 and tail + 22 == len(data), "a truncated archive, or one with a comment")
    fields = _unpack("<4s4H2IH", data, tail)
    require(fields[1] == fields[2] == 0 and fields[7] == 0, "a split archive")
    count, size, start = fields[4:7]
    if tail >= 20 and data[tail - 20 : tail - 16] == b"PK\x06\x07":
        record = _unpack("<4sIQI", data, tail - 20)[2]
        wide = _unpack("<4sQ2H2I4Q", data, record)
        require(wide[0] == b"PK\x06\x06" and record + 76 == tail, "malformed archive tail")
        count, size, start = wide[7:10]
        tail = record
    require(0 < count <= MAX_ENTRIES, "an archive of no or too many entries")
    require(start + size == tail, "an archive directory that is not where it should be")
    return count, size, start


def _zip64(extra: bytes, *values: int) -> list[int]:
    """Replace values that do not fit 32 bits by those of the extra field of type 1, in order."""
    wide: list[int] = []
    cursor = 0
    while cursor + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, cursor)
        if kind == 1:
            block = extra[cursor + 4 : cursor + 4 + length]
            wide = list(struct.unpack(f"<{len(block) // 8}Q", block[: len(block) // 8 * 8]))
        cursor += 4 + length
    result = []
    for value in values:
        if value == 0xFFFFFFFF:
            require(bool(wide), "malformed archive entry")
            value = wide.pop(0)
        result.append(value)
    return result


def _entry(data: mmap.mmap, name: bytes, offset: int, length: int, crc: int) -> Span:
    """Return the span of one entry after checking its local header and checksum."""
    header = _unpack("<4s5H3I2H", data, offset)
    require(header[0] == ZIP_MAGIC and header[3] == 0, "malformed archive entry")
    require(header[9] == len(name), "an entry whose two names differ")
    require(_cut(data, Span(offset + 30, len(name))) == name, "an entry whose two names differ")
    start = offset + 30 + header[9] + header[10]
    require(start + length <= len(data), "an entry that reaches outside the file")
    value, step = 0, 1 << 20
    for at in range(start, start + length, step):
        value = zlib.crc32(data[at : min(at + step, start + length)], value)
    require(value == crc, f"a damaged archive entry: the checksum of {name[:200]!r} is wrong")
    return Span(start, length)


def _open_legacy(data: mmap.mmap) -> Document:
    """Read the format of torch before 1.6: five pickles, then storages. It has no checksums."""
    stream = cast(BinaryIO, data)
    data.seek(0)
    require(Machine(stream).run() == LEGACY_MAGIC, "a bare pickle, not a torch file")
    require(Machine(stream).run() == LEGACY_PROTOCOL, "an unknown version of torch's older format")
    system = Machine(stream).run()
    require(isinstance(system, dict) and system.get("little_endian") is True, "foreign byte order")
    used: dict[str, Storage] = {}

    def find(key: tuple[Any, ...]) -> Storage:
        require(len(key) == 6, "malformed storage")
        return _storage(key, used)

    tree = Machine(stream, find).run()
    names = Machine(stream).run()
    require(isinstance(names, list) and sorted(map(str, names)) == sorted(used), "malformed list")
    spans: dict[str, Span] = {}
    cursor = data.tell()
    for name in names:
        storage = used[name]
        (count,) = _unpack("<q", data, cursor)
        require(count == storage.count, "a storage of another size than it says")
        spans[name] = Span(cursor + 8, count * ITEM_BYTES[storage.dtype])
        cursor += 8 + spans[name].length
        require(cursor <= len(data), "a truncated file")
    require(cursor == len(data), "bytes after the last storage")
    return Document(tree, spans)


def _open_npy(data: mmap.mmap) -> Document:
    """Read a zero-dimensional object array whose one value is a dictionary of codes."""
    version, layout = data[6], "<H" if data[6] == 1 else "<I"
    require(version in (1, 2, 3), "an unknown version of numpy's format")
    (length,) = _unpack(layout, data, 8)
    require(length <= MAX_HEADER_BYTES, "an oversized numpy header")
    begin = 8 + struct.calcsize(layout)
    header = _cut(data, Span(begin, length)).strip()
    require(header == NPY_HEADER, "a numpy array that is not a pickled dictionary")
    data.seek(begin + length)
    array = Machine(cast(BinaryIO, data)).run()
    require(data.tell() == len(data), "bytes after the end of the pickle")
    whole = isinstance(array, Array) and array.dtype is not None and array.dtype.code[:1] == "O"
    require(whole and array.shape == () and isinstance(array.data, list), "malformed numpy array")
    require(len(array.data) == 1, "malformed numpy array")
    return Document(array.data[0], {})


def tensor_extent(tensor: Tensor) -> int:
    """Return the number of elements; refuse a tensor that exceeds its storage or repeats some."""
    require(all(side <= MAX_SIDE for side in tensor.shape), "a tensor larger than its storage")
    count = math.prod(tensor.shape)
    require(count <= tensor.storage.count, "a tensor larger than its storage")
    if count:
        last = sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides, strict=True))
        require(tensor.offset + last < tensor.storage.count, "a tensor outside its storage")
    return count


def array_type(array: Array) -> str:
    """Return the safetensors type of a numpy array; refuse one of the wrong number of bytes."""
    require(array.dtype is not None and isinstance(array.data, bytes), "a numpy array of objects")
    assert array.dtype is not None
    require(array.dtype.code in NUMPY_TYPES, f"numpy numbers of type {array.dtype.code!r}")
    kind = NUMPY_TYPES[array.dtype.code]
    require(all(side <= MAX_SIDE for side in array.shape), "malformed numpy array")
    require(len(array.data) == math.prod(array.shape) * ITEM_BYTES[kind], "malformed numpy array")
    return kind
