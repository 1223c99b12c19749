"""Hostile model folders: a small model, and edits of its files."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dualstylegan.networks.config import MODEL_FILE
from dualstylegan.networks.listing import LISTING_FILE
from dualstylegan.portrait.config import ENCODER_FILE, STYLES_FILE
from tests.support.portrait_models import tiny_model

Edit = Callable[[Path], object]
WEIGHTS, CODES = MODEL_FILE, STYLES_FILE


def whole_model(folder: Path) -> Path:
    """Write a small model without a listing, by which each edit would be noticed; return it."""
    tiny_model().save_pretrained(folder)
    (folder / LISTING_FILE).unlink()
    return folder


def edited(path: str, value: Any) -> Edit:
    """Return an edit of config.json that sets a value by its dotted path."""

    def edit(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        *parents, key = path.split(".")
        place = config
        for parent in parents:
            place = place[parent]
        place[key] = value
        (folder / "config.json").write_text(json.dumps(config))

    return edit


def text(content: str | bytes, name: str = "config.json") -> Edit:
    """Return an edit that writes a file."""
    data = content.encode() if isinstance(content, str) else content

    def edit(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_bytes(data)

    return edit


def sparse(name: str, length: int) -> Edit:
    """Return an edit that makes a file of holes."""

    def edit(folder: Path) -> None:
        with (folder / name).open("wb") as handle:
            handle.truncate(length)

    return edit


def piped(name: str) -> Edit:
    """Return an edit that puts a pipe in a file's place."""

    def edit(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return edit


def linked(name: str, target: str) -> Edit:
    """Return an edit that puts a link in a file's place."""

    def edit(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target)

    return edit


def tensors(header: object, length: int | None = None, name: str = WEIGHTS) -> Edit:
    """Return an edit that writes safetensors of a header, which may claim another length."""
    data = header if isinstance(header, bytes) else json.dumps(header).encode()
    size = len(data) if length is None else length
    return text(struct.pack("<Q", size) + data + bytes(64), name)


def claimed(name: str, sides: int) -> Edit:
    """Return an edit that makes a file of holes whose header agrees with its length."""
    entry = {"dtype": "F32", "shape": [sides], "data_offsets": [0, 4 * sides]}
    header = json.dumps({"extrinsic": entry}).encode()

    def edit(folder: Path) -> None:
        with (folder / name).open("wb") as handle:
            handle.write(struct.pack("<Q", len(header)) + header)
            handle.truncate(8 + len(header) + 4 * sides)

    return edit


def cut(name: str) -> Edit:
    """Return an edit that leaves half of a file."""

    def edit(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: len(data) // 2])

    return edit


def folder_instead(name: str) -> Edit:
    """Return an edit that puts a folder in a file's place."""

    def edit(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).mkdir()

    return edit


EDITS: dict[str, Edit] = {
    "a million channels": edited("network.generator.channels", [10**6, 8, 8, 8]),
    "negative channels": edited("network.generator.channels", [-5, 8, 8, 8]),
    "no channels": edited("network.generator.channels", [0, 0, 0, 0]),
    "channels without end": edited("network.generator.channels", [8] * 1000),
    "wide blocks": edited("network.res_hidden", 10**9),
    "a high rank": edited("network.tone_rank", 10**7),
    "lists in lists": text("[" * 200_000),
    "a long integer": text('{"format":' + "9" * 5000 + "}"),
    "zeros": text("\0" * 100),
    "half a character": edited("styles", ["\ud800a", "b", "c", "d"]),
    "many styles": edited("styles", [str(number) for number in range(20_000)]),
    "a long name": edited("styles", ["x" * 100_000, "b", "c", "d"]),
    "a pipe": piped("config.json"),
    "a large config": sparse("config.json", 3 << 30),
    "a large card": sparse("README.md", 3 << 30),
    "a large licence": sparse("LICENSE.md", 3 << 30),
    "a large thumbnail": sparse("thumbnails/stone.jpg", 6 << 30),
    "a large picture": sparse("fits.jpg", 3 << 30),
    "NaN": edited("defaults.structure", float("nan")),
    "infinity": edited("defaults.truncation", float("inf")),
    "a vast number": edited("defaults.fit_rate", 1e308),
    "a vast resolution": edited("network.generator.resolution", 2**30),
    "many layers": edited("network.generator.mapping_layers", 10**9),
    "yes for a number": edited("network.generator.style_dim", True),
    "text for a number": edited("network.generator.style_dim", "8"),
    "half a code": edited("network.generator.style_dim", 7.5),
    "an unknown key": edited("network.run", "import os"),
    "no networks": edited("network", None),
    "styles outside": edited("styles", ["../../etc", "b", "c", "d"]),
    "styles of nothing": edited("styles", ["", "b", "c", "d"]),
    "one style twice": edited("styles", ["a", "a", "c", "d"]),
    "styles of control characters": edited("styles", ["a\u0000\n", "b", "c", "d"]),
    "styles that write backwards": edited("styles", ["\u202ea", "b", "c", "d"]),
    "a label of half a character": edited("labels", {"stone": "\ud800"}),
    "a label of a million": edited("labels", {"stone": "x" * 10**6}),
    "a name of lines": edited("name", "a\nb"),
    "a sampler that is not there": edited("has_sampler", True),
    "another encoding": text("{}".encode("utf-16")),
    "no JSON": text("import os"),
    "dictionaries in dictionaries": text('{"a":' * 100_000),
    "no object": text("[1, 2]"),
    "an empty config": text(""),
    "a loop of links": linked("config.json", "config.json"),
    "a link to a device": linked("config.json", "/dev/zero"),
    "a folder for a config": folder_instead("config.json"),
    "weights of a link to a device": linked(WEIGHTS, "/dev/zero"),
    "weights of a loop of links": linked(WEIGHTS, WEIGHTS),
    "weights of a pipe": piped(WEIGHTS),
    "a folder for weights": folder_instead(WEIGHTS),
    "weights of holes": sparse(WEIGHTS, 8 << 30),
    "weights of one tensor of holes": claimed(WEIGHTS, 2 << 30),
    "an encoder of holes": sparse(ENCODER_FILE, 8 << 30),
    "an encoder of one tensor of holes": claimed(ENCODER_FILE, 2 << 30),
    "codes of holes": sparse(CODES, 8 << 30),
    "codes of one tensor of holes": claimed(CODES, 2 << 30),
    "half of the weights": cut(WEIGHTS),
    "empty weights": text("", WEIGHTS),
    "a header of 2**60 bytes": tensors({}, 1 << 60),
    "a header of lists": tensors(b"[" * 100_000),
    "a header of half a character": tensors(b'{"\xed\xa0\x80": 1}'),
    "a tensor of vast sides": tensors(
        {"a": {"dtype": "F32", "shape": [2**31, 2**31], "data_offsets": [0, 64]}}
    ),
    "a tensor outside": tensors({"a": {"dtype": "F32", "shape": [16], "data_offsets": [9, 73]}}),
    "a tensor of nothing": tensors({"a": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}),
    "a tensor of no type": tensors({"a": {"dtype": "X9", "shape": [1], "data_offsets": [0, 4]}}),
    "codes of other sides": tensors(
        {"extrinsic": {"dtype": "F32", "shape": [16], "data_offsets": [0, 64]}}, name=CODES
    ),
    "codes of a pickle": text(b"\x80\2cos\nsystem\n", CODES),
    "a thumbnail of a pipe": piped("thumbnails/stone.jpg"),
    "a thumbnail of a device": linked("thumbnails/stone.jpg", "/dev/zero"),
    "a thumbnail of text": text("no picture", "thumbnails/stone.jpg"),
    "a listing of a pipe": piped(LISTING_FILE),
    "a listing of holes": sparse(LISTING_FILE, 6 << 30),
    "a listing of lists": text("[" * 100_000, LISTING_FILE),
}
