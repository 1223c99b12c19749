"""Published files as data: intact ones are read exactly, malicious and damaged ones refused."""

from __future__ import annotations

import argparse
import builtins
import io
import mmap
import os
import pickle
import struct
import tempfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dualstylegan.errors import CheckpointError
from dualstylegan.published import archives, reader
from dualstylegan.published.pickles import Machine, Namespace, Refused, Storage
from dualstylegan.published.reader import read_published

Entries = list[tuple[str, bytes]]


class Write(Protocol):
    def __call__(self, data: bytes, name: str = ...) -> Path: ...


class Call:
    """Object that pickles as a call of any function."""

    def __init__(self, function: Callable[..., object], *args: object) -> None:
        self.function, self.args = function, args

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.function, self.args


def checkpoint() -> dict[str, Any]:
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    module(torch.randn(8, 3)).sum().backward()
    optimiser = torch.optim.Adam(module.parameters())
    optimiser.step()
    return {
        "g_ema": module.state_dict(),
        "g_optim": optimiser.state_dict(),
        "args": argparse.Namespace(size=1024, name="cartoon", flags=[True, None, 0.5]),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "transposed": torch.randn(3, 4).T,
        "sliced": torch.randn(10)[3:5],
        "half": torch.randn(3).half(),
        "empty": torch.zeros(0, 3),
        "nan": float("nan"),
    }


def codes() -> dict[str, NDArray[np.float32]]:
    draw = np.random.default_rng(0)
    names = [f"Cartoons_{i:05d}.jpg" for i in (1, 0, 7)]
    return {name: draw.standard_normal((1, 18, 512), dtype=np.float32) for name in names}


def equal(found: Any, expected: Any) -> bool:
    if isinstance(expected, np.ndarray):
        expected = torch.from_numpy(expected)
    if isinstance(expected, torch.Tensor):
        return found.dtype == expected.dtype and torch.equal(found, expected)
    if isinstance(expected, argparse.Namespace):
        return isinstance(found, Namespace) and equal(found.fields, vars(expected))
    if isinstance(expected, dict):
        return list(found) == list(expected) and all(equal(found[k], expected[k]) for k in found)
    if isinstance(expected, list | tuple):
        same = type(found) is type(expected) and len(found) == len(expected)
        return same and all(map(equal, found, expected))
    return found == expected or found != found  # type: ignore[no-any-return]


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Write]:
    """Write bytes into a folder of their own; check at the end that it holds nothing else."""
    folder = tmp_path / "files"
    folder.mkdir()

    def save(data: bytes, name: str = "generator.pt") -> Path:
        path = folder / name
        path.write_bytes(data)
        return path

    yield save
    assert len(list(folder.iterdir())) <= 1
    assert not list(tmp_path.glob("PWNED*"))


def torch_bytes(value: object, **options: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def numpy_bytes(value: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, value, allow_pickle=True)
    return buffer.getvalue()


def refused(path: Path, *words: str) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_published(path)
    message = str(caught.value)
    assert str(path) in message
    for word in words:
        assert word in message
    return message


@pytest.mark.parametrize("zipped", [True, False])
def test_torch_files_are_read_exactly(write: Write, zipped: bool) -> None:
    value = checkpoint()
    path = write(torch_bytes(value, _use_new_zipfile_serialization=zipped))
    assert equal(read_published(path).tree, value)


def test_codes_keep_their_file_names_and_order(write: Write) -> None:
    value = codes()
    found = read_published(write(numpy_bytes(value), "exstyle_code.npy")).tree
    assert list(found) == list(value)
    assert equal(found, value)


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_codes_of_older_numpy_and_pickle_versions(protocol: int, module: bytes) -> None:
    value = codes()
    data = pickle.dumps(value, protocol)
    length = struct.Struct("B")
    for name in (b"numpy._core.multiarray", b"numpy.core.multiarray"):  # whichever numpy is here
        framed = (
            b"\x8c" + length.pack(len(name)) + name,
            b"\x8c" + length.pack(len(module)) + module,
        )
        data = data.replace(*framed).replace(b"c" + name + b"\n", b"c" + module + b"\n")
    assert list(Machine(io.BytesIO(data)).run()) == list(value)


def malicious(target: Path) -> dict[str, Call | Namespace]:
    command = f"touch {target}"
    return {
        "os.system": Call(os.system, command),
        "eval": Call(builtins.eval, f"open({str(target)!r}, 'w')"),
        "exec": Call(builtins.exec, f"open({str(target)!r}, 'w')"),
        "open": Call(builtins.open, str(target), "w"),
        "getattr": Call(builtins.getattr, Namespace, "__init__"),
        "Popen": Call(__import__("subprocess").Popen, command.split()),
        "import": Call(builtins.__import__, "antigravity"),
        "torch.load": Call(torch.load, str(target)),
        "numpy.load": Call(np.load, str(target)),
        "class": Namespace({"a": 1}),
    }


@pytest.mark.parametrize("attack", list(malicious(Path("x"))))
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_nothing_that_a_file_names_is_called(tmp_path: Path, attack: str, protocol: int) -> None:
    """Parsing runs in this process, where a call would show; end to end below."""
    value = malicious(tmp_path / "PWNED")[attack]
    pickled = pickle.dumps({"g_ema": {"a": value}}, protocol)
    with pytest.raises(Refused):
        Machine(io.BytesIO(pickled)).run()
    assert not (tmp_path / "PWNED").exists()


@pytest.mark.parametrize("form", ["zip", "legacy", "npy", "bare"])
def test_calls_are_refused_end_to_end(write: Write, tmp_path: Path, form: str) -> None:
    value = {"g_ema": {"a": Call(os.system, f"touch {tmp_path / 'PWNED'}")}}
    if form == "npy":
        data = numpy_bytes(value)
    elif form == "bare":
        data = pickle.dumps(value)
    else:
        data = torch_bytes(value, _use_new_zipfile_serialization=form == "zip")
    refused(write(data), "posix.system")


def raw_pickle(*parts: bytes) -> bytes:
    return b"\x80\x02" + b"".join(parts) + b"."


@pytest.mark.parametrize(
    "stream",
    {
        "state on a name": raw_pickle(b"ccollections\nOrderedDict\n}b"),
        "instance": raw_pickle(b"(cos\nsystem\nX\x01\x00\x00\x00xo"),
        "inst": raw_pickle(b"(X\x01\x00\x00\x00xios\nsystem\n"),
        "extension": raw_pickle(b"\x82\x01"),
        "persistent text": raw_pickle(b"Pstorage\n"),
        "persistent without storages": raw_pickle(b"K\x01Q"),
        "stack underflow": raw_pickle(b"R"),
        "memo never put": raw_pickle(b"h\x07"),
        "no end": b"\x80\x02}",
        "empty": b"",
        "two values": raw_pickle(b"}}"),
        "unhashable key": raw_pickle(b"}}K\x01s"),
        "tuple key": raw_pickle(b"})K\x01s"),
        "call of a storage": raw_pickle(b"ctorch\nFloatStorage\n)R"),
        "negative length": raw_pickle(b"T\xff\xff\xff\xff"),
        "unknown opcode": raw_pickle(b"\xfe"),
        "set": pickle.dumps({1, 2}, 4),
        "new object with keywords": raw_pickle(b"cargparse\nNamespace\n)}\x92"),
    }.items(),
    ids=lambda item: item[0],
)
def test_malformed_pickles_are_refused(stream: tuple[str, bytes]) -> None:
    with pytest.raises(Refused):
        Machine(io.BytesIO(stream[1])).run()


def rezip(
    data: bytes, change: Callable[[Entries], Entries], method: int = zipfile.ZIP_STORED
) -> bytes:
    """Rewrite an archive's entries; `change` gives the new list of (name, content)."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = [(info.filename, archive.read(info)) for info in archive.infolist()]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in change(entries):
            archive.writestr(name, content)
    return buffer.getvalue()


SMALL = {"g_ema": OrderedDict(weight=torch.arange(12.0).view(3, 4))}
ARCHIVE_ATTACKS: dict[str, tuple[Callable[[Entries], Entries], str]] = {
    "short storage": (
        lambda es: [(n, c[:-4] if n.endswith("data/0") else c) for n, c in es],
        "size",
    ),
    "missing storage": (lambda es: [e for e in es if not e[0].endswith("data/0")], "not there"),
    "unused storage": (lambda es: [*es, ("archive/data/9", b"1234")], "nothing refers"),
    "nested archive": (lambda es: [*es, ("archive/inner.pt", torch_bytes(SMALL))], "inner.pt"),
    "code": (lambda es: [*es, ("archive/code/__torch__.py", b"import os")], "__torch__.py"),
    "path": (lambda es: [*es, ("../PWNED", b"")], "PWNED"),
    "twice": (lambda es: [*es, es[-1]], "two archive entries"),
    "big endian": (lambda es: [(n, b"big" if n.endswith("order") else c) for n, c in es], "endian"),
    "no pickle": (lambda es: [e for e in es if not e[0].endswith(".pkl")], "data.pkl"),
}


@pytest.mark.parametrize("attack", list(ARCHIVE_ATTACKS))
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_malformed_archives_are_refused(write: Write, attack: str) -> None:
    change, word = ARCHIVE_ATTACKS[attack]
    refused(write(rezip(torch_bytes(SMALL), change)), word)


def test_zip_bombs_are_refused_unopened(write: Write) -> None:
    def bomb(entries: Entries) -> Entries:
        return [(n, bytes(1 << 26) if n.endswith("data/0") else c) for n, c in entries]

    data = rezip(torch_bytes(SMALL), bomb, zipfile.ZIP_DEFLATED)
    assert len(data) < 1 << 18
    refused(write(data), "compressed")


def with_size(
    tensor: torch.Tensor, shape: Sequence[int], strides: Sequence[int], offset: int = 0
) -> bytes:
    """Write a checkpoint whose tensor claims a false shape, strides or offset."""
    view = torch.as_strided(tensor, (2,), (1,), 0)
    data = torch_bytes({"w": view})

    def integers(*values: int) -> bytes:
        return b"(" + b"".join(b"J" + struct.pack("<i", v) for v in values) + b"t"

    def change(entries: Entries) -> Entries:
        honest = b"K\x00K\x02\x85q\x06K\x01\x85q\x07"
        false = b"J" + struct.pack("<i", offset) + integers(*shape) + integers(*strides)
        result = []
        for name, content in entries:
            if name.endswith("data.pkl"):
                at = content.index(b"QK\x00K\x02\x85") + 1
                end = content.index(b"\x89", at)
                assert len(honest) == end - at
                content = content[:at] + false + content[end:]
            result.append((name, content))
        return result

    return rezip(data, change)


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [
        ((1 << 30,), (0,), 0),
        ((1 << 30, 1 << 30, 1 << 30), (0, 0, 0), 0),
        ((8,), (4,), 0),
        ((4,), (1,), 1 << 30),
        ((-4,), (1,), 0),
        ((4,), (-1,), 0),
        ((4, 2), (1,), 0),
    ],
)
def test_tensors_outside_their_storage_are_refused(
    write: Write, shape: tuple[int, ...], strides: tuple[int, ...], offset: int
) -> None:
    refused(write(with_size(torch.arange(8.0), shape, strides, offset)), "tensor")


def test_truncated_files_are_refused(write: Write) -> None:
    for data in (torch_bytes(SMALL), torch_bytes(SMALL, _use_new_zipfile_serialization=False)):
        for keep in (1, 40, len(data) // 2, len(data) - 1):
            refused(write(data[:keep]))
    refused(write(numpy_bytes(codes())[:-100]))
    refused(write(b""), "0 bytes")
    refused(write(b"<html>Quota exceeded</html>"), "neither")


Outcome = str | tuple[list[str], tuple[int, ...], tuple[int, ...], list[float]]


def outcome(data: bytes) -> Outcome:
    """Parse a file in this process; return the result or the refusal."""
    with mmap.mmap(-1, len(data)) as memory:
        memory.write(data)
        memory.seek(0)
        try:
            document = archives.open_document(memory)
            (tensor,) = document.tree["g_ema"].values()
            start = document.spans[tensor.storage.key].start
            numbers = np.frombuffer(memory[start : start + 48], np.float32)
            return list(document.tree["g_ema"]), tensor.shape, tensor.strides, numbers.tolist()
        except Refused:
            return "refused"


def test_a_flipped_bit_anywhere_is_refused_or_changes_nothing() -> None:
    data = torch_bytes(SMALL)
    whole = outcome(data)
    assert whole == (["weight"], (3, 4), (4, 1), list(range(12)))
    draw = np.random.default_rng(0)
    outcomes = []
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 1 << draw.integers(8)
        outcomes.append(outcome(bytes(damaged)))
    assert all(found in ("refused", whole) for found in outcomes)
    assert outcomes.count("refused") > len(data) // 4


def test_a_file_cut_anywhere_is_refused() -> None:
    for data in (torch_bytes(SMALL), torch_bytes(SMALL, _use_new_zipfile_serialization=False)):
        assert all(outcome(data[:keep]) == "refused" for keep in range(1, len(data)))


@pytest.mark.filterwarnings("ignore:invalid escape sequence")
def test_mutated_pickles_are_read_or_refused_and_nothing_else() -> None:
    seed = torch_bytes(checkpoint(), _use_new_zipfile_serialization=False)
    draw = np.random.default_rng(0)
    for _ in range(1000):
        mutated = bytearray(seed)
        for place in draw.integers(0, 3000, draw.integers(1, 4)):
            mutated[place] = draw.integers(256)
        stream = io.BytesIO(bytes(mutated))
        try:
            for _ in range(5):
                Machine(stream, lambda key: Storage(str(key[2]), "F32", 0)).run()
        except Refused:
            pass


def test_flips_in_the_weights_are_refused(write: Write) -> None:
    data = torch_bytes(SMALL)
    damaged = bytearray(data)
    damaged[data.index(struct.pack("<3f", 1, 2, 3))] ^= 1
    refused(write(bytes(damaged)), "checksum")


def test_values_that_contain_themselves_are_refused(write: Write) -> None:
    endless: list[Any] = []
    endless.append(endless)
    refused(write(torch_bytes({"a": endless})), "nested")


def test_shared_values_do_not_multiply_without_end(write: Write) -> None:
    laughs: list[Any] = ["ha"]
    for _ in range(25):
        laughs = [laughs, laughs, laughs]
    refused(write(torch_bytes({"a": laughs})), "too many values")


def test_oversized_files_are_refused_unread(write: Write) -> None:
    path = write(torch_bytes(SMALL))
    with pytest.raises(CheckpointError, match="not the size"):
        read_published(path, max_bytes=100)


def test_missing_files_are_named(tmp_path: Path) -> None:
    refused(tmp_path / "none.pt", "no such file")


def test_the_reader_process_cannot_reach_out(tmp_path: Path) -> None:
    """Even if parsing were subverted, the process may not open, start, import or connect."""
    import subprocess
    import sys

    attempts = ("open('PWNED', 'w')", "__import__('os').system('true')", "exec('1')",
                "__import__('socket').socket()")  # fmt: skip
    for attempt in attempts:
        code = (
            f"import sys, socket; sys.path.insert(0, {reader._ROOT!r})\n"
            "from dualstylegan.published import child\n"
            f"sys.addaudithook(child._forbid)\n{attempt}\nprint('reached')"
        )
        done = subprocess.run(
            [sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, check=False
        )
        assert done.returncode == 4
        assert b"reached" not in done.stdout
    assert not list(tmp_path.iterdir())


def test_reading_leaves_no_temporary_files(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    read_published(write(torch_bytes(SMALL)))
    refused(write(b"\x80\x02."))
    assert not list(scratch.iterdir())
