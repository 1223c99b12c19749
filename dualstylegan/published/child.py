"""Restricted process that reads one untrusted file and writes its content as data.

Started by `reader` as `python -I -c ... INPUT FOLDER LIMITS`. It limits its own memory, time, files
and output, opens its files, then forbids itself everything but arithmetic: any attempt to open,
import, execute, connect or start something ends it. Its output is `tensors.safetensors` and
`tree.json`, which the parent process reads as data.
"""

from __future__ import annotations

import errno
import json
import math
import mmap
import os
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

import numpy as np

from dualstylegan.published.archives import (
    Document,
    Span,
    array_type,
    open_document,
    tensor_extent,
)
from dualstylegan.published.pickles import Array, Namespace, Refused, Tensor, require

if TYPE_CHECKING:
    from typing_extensions import Buffer

REFUSED_EXIT, UNWRITTEN_EXIT = 3, 5
MAX_DEPTH = 32
MAX_NODES = 500_000
MAX_TEXT = 65_536
MAX_TEXTS = 16 << 20
# Bytes of a tensor that are put in order at a time, where its elements are not.
PIECE_BYTES = 16 << 20
DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2",
    "I8": "|i1", "U8": "|u1", "BOOL": "|u1",
}  # fmt: skip
FORBIDDEN = (
    "open", "exec", "compile", "import", "os.", "socket.", "subprocess.", "ctypes.", "shutil.",
    "pickle.", "marshal.", "code.", "signal.", "syslog.", "mmap.", "pty.", "urllib.", "glob.",
)  # fmt: skip


def limit_resources(limits: dict[str, int]) -> None:
    """Limit memory, CPU time and size of written files of this process, for good."""
    import resource

    caps = (
        (resource.RLIMIT_AS, limits["memory_bytes"]),
        (resource.RLIMIT_CPU, limits["cpu_seconds"]),
        (resource.RLIMIT_FSIZE, limits["output_bytes"]),
        (resource.RLIMIT_NOFILE, 16),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
    )
    for kind, cap in caps:
        hard = resource.getrlimit(kind)[1]
        cap = cap if hard == resource.RLIM_INFINITY else min(cap, hard)
        resource.setrlimit(kind, (cap, cap))


def _forbid(event: str, args: tuple[Any, ...]) -> None:
    """End the process at a forbidden audit event, before it happens. The hook is permanent."""
    if event.startswith(FORBIDDEN):
        os._exit(REFUSED_EXIT + 1)


@dataclass
class Encoder:
    """Encoder of a document's tree into JSON; collects its tensors in order."""

    leaves: list[Tensor | Array] = field(default_factory=list)
    nodes: int = 0
    characters: int = 0

    def encode(self, value: Any, depth: int = 0) -> Any:
        """Return plain values unchanged, others as an object with one key that begins with `$`."""
        self.nodes += 1
        require(depth <= MAX_DEPTH, "values nested too deep, or in themselves")
        require(self.nodes <= MAX_NODES, f"too many values, more than {MAX_NODES}")
        if value is None or type(value) in (bool, int):
            require(value is None or -(2**63) <= value < 2**64, "a number of more than 64 bits")
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"$float": repr(value)}
        if type(value) is str:
            require(len(value) <= MAX_TEXT, "an overlong text")
            self.characters += len(value)
            require(self.characters <= MAX_TEXTS, f"more than {MAX_TEXTS} characters of text")
            return value
        if isinstance(value, Tensor | Array):
            self.leaves.append(value)
            return {"$tensor": len(self.leaves) - 1}
        if isinstance(value, Namespace):
            return {"$namespace": self.pairs(value.fields, depth)}
        if isinstance(value, dict):
            return {"$dict": self.pairs(value, depth)}
        if type(value) in (list, tuple):
            items = [self.encode(item, depth + 1) for item in value]
            return {"$list" if type(value) is list else "$tuple": items}
        raise Refused(f"a value of type {type(value).__name__}")

    def pairs(self, value: dict[Any, Any], depth: int) -> list[list[Any]]:
        """Encode a dictionary as pairs, which preserves order and integer keys."""
        return [[self.encode(k, depth + 1), self.encode(v, depth + 1)] for k, v in value.items()]


def leaf_facts(leaf: Tensor | Array) -> tuple[str, tuple[int, ...]]:
    """Check a leaf and return its safetensors type and shape."""
    if isinstance(leaf, Array):
        return array_type(leaf), leaf.shape
    tensor_extent(leaf)
    return leaf.storage.dtype, leaf.shape


def leaf_pieces(data: mmap.mmap, spans: dict[str, Span], leaf: Tensor | Array) -> Iterator[Buffer]:
    """Yield a leaf's elements in row-major order."""
    kind, shape = leaf_facts(leaf)
    dtype = np.dtype(DTYPES[kind])
    if math.prod(shape) == 0:
        return
    if isinstance(leaf, Array):
        flat = np.frombuffer(leaf.data, dtype)
        yield np.ascontiguousarray(flat.reshape(shape, order="F" if leaf.fortran else "C")).data
        return
    span = spans[leaf.storage.key]
    flat = np.frombuffer(data, dtype, leaf.storage.count, span.start)[leaf.offset :]
    strides = [step * dtype.itemsize for step in leaf.strides]
    view = np.lib.stride_tricks.as_strided(flat, shape, strides, writeable=False)
    if view.flags.c_contiguous or not shape:
        yield np.ascontiguousarray(view).data
        return
    rows = max(1, PIECE_BYTES * shape[0] // view.nbytes)
    for first in range(0, shape[0], rows):
        yield np.ascontiguousarray(view[first : first + rows]).data


def write_tensors(
    data: mmap.mmap, document: Document, leaves: list[Tensor | Array], out: BinaryIO
) -> None:
    """Write the leaves as safetensors named by their number, one at a time."""
    header: dict[str, Any] = {}
    cursor = 0
    for number, leaf in enumerate(leaves):
        kind, shape = leaf_facts(leaf)
        size = math.prod(shape) * np.dtype(DTYPES[kind]).itemsize
        header[str(number)] = {
            "dtype": kind, "shape": list(shape), "data_offsets": [cursor, cursor + size],
        }  # fmt: skip
        cursor += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    out.write(struct.pack("<Q", len(text)) + text)
    for leaf in leaves:
        for piece in leaf_pieces(data, document.spans, leaf):
            out.write(piece)


def main(argv: list[str]) -> int:
    """Read argv's file; return 0, or print the reason and exit with REFUSED_EXIT."""
    source, folder, limits = argv
    limit_resources(json.loads(limits))
    with (
        open(source, "rb") as handle,
        open(os.path.join(folder, "tensors.safetensors"), "wb") as tensors,
        open(os.path.join(folder, "tree.json"), "wb") as tree,
        mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        sys.addaudithook(_forbid)
        try:
            document = open_document(data)
            encoder = Encoder()
            encoded = encoder.encode(document.tree)
            write_tensors(data, document, encoder.leaves, tensors)
            tree.write(json.dumps(encoded).encode())
            tensors.flush()
            tree.flush()
        except Refused as refusal:
            reason = str(refusal)
        except (MemoryError, RecursionError) as error:
            reason = f"it asks for more than it may have ({type(error).__name__})"
        except OSError as error:
            if error.errno != errno.EFBIG:  # its own limit: the file asks for too much
                _leave(str(error.strerror), UNWRITTEN_EXIT)
            reason = "it asks for more space than it may have"
        # a traceback would open this file, which is forbidden by now
        except Exception as error:
            reason = f"no checkpoint that can be understood ({type(error).__name__})"
        else:
            return 0
        _leave(reason, REFUSED_EXIT)


def _leave(reason: str, code: int) -> NoReturn:
    """Print a reason and end: what is mapped may be referred to by an exception, and stays."""
    print(reason.encode("ascii", "backslashreplace").decode()[:500], flush=True)
    os._exit(code)
