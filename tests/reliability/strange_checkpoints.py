"""Hostile checkpoints, made here by opcodes and bytes: calls, bombs, and lies about sizes."""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from dualstylegan.published.archives import LEGACY_MAGIC, LEGACY_PROTOCOL, NPY_HEADER

Write = Callable[[Path], object]
MILLION = 1_000_000


def text(value: str) -> bytes:
    """Return the opcode that pushes a text."""
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    """Return the opcode that pushes an integer of any size up to 255 bytes."""
    data = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def name(path: str) -> bytes:
    """Return the opcode that pushes a global name."""
    module, _, attribute = path.rpartition(".")
    return f"c{module}\n{attribute}\n".encode()


def sequence(*items: bytes) -> bytes:
    """Return the opcodes of a tuple."""
    return b"(" + b"".join(items) + b"t"


def stream(*parts: bytes) -> bytes:
    """Return a whole pickle."""
    return b"\x80\x02" + b"".join(parts) + b"."


def call(path: str, *args: bytes) -> bytes:
    """Return the opcodes of a call."""
    return name(path) + sequence(*args) + b"R"


def storage(key: str = "0", count: int = 4, kind: str = "FloatStorage", **odd: bytes) -> bytes:
    """Return the opcodes of a persistent id."""
    parts = {"tag": text("storage"), "type": name(f"torch.{kind}"), "key": text(key)}
    parts |= {"place": text("cpu"), "count": number(count)}
    return sequence(*{**parts, **odd}.values()) + b"Q"


def tensor(*shape: int, strides: tuple[int, ...] = (1,), offset: int = 0, count: int = 4) -> bytes:
    """Return the opcodes of a tensor, as false as the arguments say."""
    return call(
        "torch._utils._rebuild_tensor_v2",
        storage(count=count),
        number(offset),
        sequence(*map(number, shape)),
        sequence(*map(number, strides)),
        b"\x89",
        call("collections.OrderedDict"),
    )


def under_key(value: bytes, key: str = "g_ema") -> bytes:
    """Return the opcodes of a dictionary of one value."""
    return b"}" + text(key) + value + b"s"


def zipped(pickled: bytes, *storages: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    """Return torch's archive of a pickle and storages."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("archive/data.pkl", pickled)
        for index, data in enumerate(storages):
            archive.writestr(f"archive/data/{index}", data)
    return buffer.getvalue()


def legacy(pickled: bytes, *, system: object = None, tail: bytes = b"") -> bytes:
    """Return torch's older stream of a pickle."""
    facts = {"little_endian": True} if system is None else system
    heads = (LEGACY_MAGIC, LEGACY_PROTOCOL, facts)
    names = b"" if tail == b"-" else pickle.dumps([], 2) + tail
    return b"".join(pickle.dumps(head, 2) for head in heads) + pickled + names


def npy(pickled: bytes, header: bytes = NPY_HEADER) -> bytes:
    """Return numpy's file of a pickle."""
    padded = header + b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(padded)) + padded + pickled


def calls(canary: Path) -> Iterator[tuple[str, bytes]]:
    """Yield streams that call something, each of which would make the canary's file."""
    shell = text(f"touch {canary}")
    code = text(f"open({str(canary)!r}, 'w')")
    open_it = name("builtins.open") + sequence(text(str(canary)), text("w"))
    yield "os.system", call("os.system", shell)
    yield "posix.system", call("posix.system", shell)
    yield "nt.system", call("nt.system", shell)
    yield "eval", call("builtins.eval", code)
    yield "exec of Python 2", call("__builtin__.exec", code)
    yield "open", open_it + b"R"
    yield "Popen", call("subprocess.Popen", sequence(text("touch"), text(str(canary))))
    yield "getattr", call("builtins.getattr", name("os.path"), text("os"))
    yield "dotted name", call("builtins.eval.__call__", code)
    yield "apply", call("builtins.map", name("os.system"), sequence(shell))
    yield "partial", call("functools.partial", name("os.system"), shell)
    yield "pickle in a pickle", call("pickle.loads", text("cos\nsystem\n"))
    yield "torch.load", call("torch.load", text(str(canary)))
    yield "runpy", call("runpy.run_path", text(str(canary)))
    yield "INST", b"(" + shell + b"ios\nsystem\n"
    yield "OBJ", b"(" + name("os.system") + shell + b"o"
    yield "NEWOBJ", name("os.system") + sequence(shell) + b"\x81"
    yield "NEWOBJ_EX", name("os.system") + sequence(shell) + b"}\x92"
    yield "STACK_GLOBAL", text("os") + text("system") + b"\x93" + sequence(shell) + b"R"
    yield "BUILD of a name", name("collections.OrderedDict") + b"}" + b"b"
    yield "BUILD of a call", call("collections.OrderedDict") + open_it + b"Rb"
    yield "an extension", b"\x82\1" + sequence(shell) + b"R"
    yield "a call in a persistent id", call("os.system", shell) + b"Q"
    yield "a persistent id in another", sequence(storage(key="0"), storage()) + b"Q"
    yield "a text of a persistent id", b"Pstorage\n"


def bombs() -> Iterator[tuple[str, bytes]]:
    """Yield streams of few bytes that ask for much memory or time."""
    long_list = b"]" + b"(" + b"K\1" * MILLION + b"e" + b"q\1"
    pairs = b"](" + (text("a") + b"K\1\x86") * (MILLION // 4) + b"eq\1"
    again = 400
    yield "sizes of a long list", long_list + (name("torch.Size") + b"h\1\x85R") * again + b"0"
    yield (
        "sizes of a long list, kept",
        long_list + b"](" + (name("torch.Size") + b"h\1\x85R") * again + b"e\x86",
    )
    ordered = (name("collections.OrderedDict") + b"h\1\x85R") * again
    yield "OrderedDict of a long list", pairs + b"](" + ordered + b"e\x86"
    fields = b"}(" + b"".join(text(f"k{i}") + b"K\1" for i in range(MILLION // 10)) + b"uq\1"
    spaces = (name("argparse.Namespace") + b")Rh\1b") * 2000
    yield "Namespace of many fields", fields + b"](" + spaces + b"e\x86"
    latin = text("x" * (8 * MILLION)) + b"q\1"
    encoded = (name("_codecs.encode") + b"h\1" + text("latin1") + b"\x86R") * again
    yield "bytes of a long text", latin + b"](" + encoded + b"e\x86"
    for kind, empty, fill in (("lists", b"]", b"e"), ("tuples", b"", b"t")):
        laughs = text("ha") + b"q\0"
        for level in range(40):
            got = b"h" + bytes([level])
            laughs += empty + b"(" + got * 10 + fill + b"q" + bytes([level + 1])
        yield f"laughing {kind}", laughs
    dicts = b"K\1q\0"
    for level in range(40):
        got = b"h" + bytes([level])
        dicts += (
            b"}(" + b"".join(text(key) + got for key in "abcdefgh") + b"uq" + bytes([level + 1])
        )
    yield "laughing dictionaries", dicts
    frozen = b"\x8f(K\1\x90q\0"
    yield "frozen sets", frozen + b"".join(b"(" + b"h\0" * 10 + b"\x91" for _ in range(20))
    yield "deep lists", b"]" * 200_000 + b"a" * 199_999
    yield "deep tuples", b")" + b"\x85" * MILLION
    yield "a list in itself", b"]q\0h\0a"
    yield "a number of 100 MB", b"\x8b" + struct.pack("<i", 100 * MILLION) + bytes(100 * MILLION)
    yield "a number of a million digits", b"L" + b"9" * MILLION + b"L\n"
    yield "a number of 255 bytes", number((1 << 2030) - 1)
    prime = (1 << 61) - 1
    keys = b"".join(number(prime * (i + 1)) + b"K\1" for i in range(50_000))
    yield "keys of one hash", b"}(" + keys + b"u"
    yield "six million opcodes", b"N0" * (3 * MILLION) + b"N"
    yield "texts of gigabytes", text("y" * 60_000) + b"q\1](" + b"h\1" * 400_000 + b"e\x86"
    yield "a long key", b"}" + text("k" * 50_000) + b"K\1s"
    yield "a memo of marks", b"(q\1" + b"h\1" * 1000
    yield "a memo far away", b"Nr\xff\xff\xff\xff"
    yield "a text of 4 GB", b"X\xff\xff\xff\xff"
    yield "a text of 2**60 bytes", b"\x8d" + struct.pack("<Q", 1 << 60)
    yield "a frame of 2**60 bytes", b"\x95" + struct.pack("<Q", 1 << 60) + b"N"
    yield "a byte array", b"\x96" + struct.pack("<Q", 1 << 40)
    yield "half a character", b"X\3\0\0\0\xed\xa0\x80"
    yield "an empty stack", b"0" * 9


def lies() -> Iterator[tuple[str, bytes]]:
    """Yield files whose sizes, offsets or containers lie."""
    four = bytes(16)

    def file(value: bytes, *storages: bytes) -> bytes:
        return zipped(stream(under_key(under_key(value, "weight"))), *(storages or (four,)))

    yield "negative strides", file(tensor(4, strides=(-1,)))
    yield "a negative offset", file(tensor(4, offset=-1))
    yield "an offset beyond the end", file(tensor(4, offset=1))
    yield "an offset far beyond", file(tensor(1, offset=1 << 62))
    yield "strides beyond the end", file(tensor(2, strides=(1 << 61,)))
    yield "a repeated element", file(tensor(1 << 40, strides=(0,)))
    yield "more strides than sides", file(tensor(4, strides=(1, 1)))
    yield "no elements of vast sides", file(tensor(1 << 62, 0, strides=(1, 1)))
    yield "vast sides", file(tensor(1 << 62, 1 << 62, strides=(1, 1)))
    yield "many sides", file(tensor(*[1] * 5000, strides=(1,) * 5000))
    yield "a large storage", file(tensor(4, count=1 << 60))
    yield "a storage of no type", zipped(stream(storage(kind="object")), four)
    yield "a storage of a list", zipped(stream(storage(type=b"]")), four)
    yield "a storage of a path", zipped(stream(storage(key="../../etc/passwd")), four)
    yield "a storage of a number", zipped(stream(storage(count=4, place=b"K\1")), four)
    plain = file(tensor(4))
    yield "twice the archive", plain + plain
    yield "a cut archive", plain[:-30]
    yield "a comment", plain[:-2] + b"\5\0hello"
    tail = plain.rindex(b"PK\5\6")
    yield "many entries", plain[: tail + 8] + b"\xff\xff\xff\xff" + plain[tail + 12 :]
    directory = plain.index(b"PK\1\2")
    for at, what in ((20, "packed size"), (24, "size"), (42, "offset")):
        place = directory + at
        yield f"false {what}", plain[:place] + b"\xfe\xff\xff\x7f" + plain[place + 4 :]
    second = plain.index(b"PK\1\2", directory + 4)
    same = plain[directory + 42 : directory + 46]
    yield "overlapping entries", plain[: second + 42] + same + plain[second + 46 :]
    wide = plain[: directory + 24] + b"\xff" * 4 + plain[directory + 28 :]
    yield "a wide size without its field", wide
    packed = zipped(stream(tensor(4)), bytes(200 * MILLION), method=zipfile.ZIP_DEFLATED)
    yield "a zip bomb", packed
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../storages"), io.BytesIO())
    yield "a tar of the first torch", buffer.getvalue()
    yield "a bare pickle", pickle.dumps({"g_ema": 1})
    yield "text", b"<html>quota exceeded</html>"
    yield "nothing but zeros", bytes(5000)
    yield "gzip", b"\x1f\x8b\x08" + bytes(500)
    yield "a foreign byte order", legacy(stream(b"}"), system={"little_endian": False})
    yield "no system", legacy(stream(b"}"), system=7)
    yield "no names", legacy(stream(b"}"), tail=b"-")
    yield "bytes behind", legacy(stream(b"}"), tail=bytes(9))
    yield "storages that are not there", legacy(stream(tensor(4)))
    yield "a numpy header of code", npy(stream(b"}"), b"__import__('os').abort()")
    yield "a numpy header of numbers", npy(bytes(99), b"{'descr': '<f4', 'shape': (9,)}")
    yield "a numpy header that is long", b"\x93NUMPY\2\0" + struct.pack("<I", 1 << 31) + bytes(99)
    yield "a numpy file of an unknown version", b"\x93NUMPY\x09\0" + bytes(99)


def sparse(head: bytes, length: int) -> Write:
    """Return a writer of a file that takes no place on the disk behind its first bytes."""

    def write(path: Path) -> None:
        with path.open("wb") as handle:
            handle.write(head)
            handle.truncate(length)

    return write


def sparse_archive(path: Path) -> None:
    """Write an archive with a storage of a gigabyte of holes, and a bomb of sizes beside it."""
    again = (name("torch.Size") + b"h\1\x85R") * 400
    bomb = b"](" + b"K\1" * MILLION + b"eq\1](" + again + b"e\x86"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", stream(bomb))
        with archive.open("archive/data/0", "w", force_zip64=True) as entry:
            for _ in range(64):
                entry.write(bytes(16 << 20))


def checkpoints(canary: Path) -> dict[str, Write]:
    """Return all hostile checkpoints: file name to its writer."""
    found: dict[str, Write] = {}

    def add(title: str, data: bytes) -> None:
        found[title] = lambda path: path.write_bytes(data)

    for title, body in calls(canary):
        add(f"{title} in a zip.pt", zipped(stream(under_key(body))))
        add(f"{title} in an old file.pt", legacy(stream(under_key(body))))
        add(f"{title} in numpy's.npy", npy(stream(body)))
    for title, body in bombs():
        add(f"{title}.pt", zipped(stream(body)))
    many = b"](" + (b"h\1" * 200_000) + b"e\x86"
    one = tensor(4096, count=4096) + b"q\1"
    add("many tensors of one storage.pt", zipped(stream(one + many), bytes(16_384)))
    for title, data in lies():
        add(f"{title}.npy" if "numpy" in title else f"{title}.pt", data)
    found["holes.pt"] = sparse(b"PK\3\4", 2 << 30)
    found["holes behind a pickle.pt"] = sparse(b"\x80\2", 2 << 30)
    long_text = npy(b"\x80\4\x8d" + struct.pack("<Q", 1 << 30))
    found["a long text of holes.npy"] = sparse(long_text, 2 << 30)
    found["larger than any.pt"] = sparse(b"PK\3\4", 5 << 30)
    found["a gigabyte beside a bomb.pt"] = sparse_archive
    return found
