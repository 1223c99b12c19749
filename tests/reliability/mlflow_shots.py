"""Requests to `mlflow models serve`: rows and options to be served, and others to be refused."""

from __future__ import annotations

import base64
import io
import json
import random
from collections.abc import Callable
from typing import Any

from PIL import Image

from tests.reliability.serving_shots import (
    HOSTILE,
    MALFORMED,
    VALID,
    Shot,
    chunked,
    malformed,
    mutated,
    request,
)
from tests.support.portrait_models import STYLE_NAMES

TARGET, JSON = "/invocations", "application/json"
DEEP = 100_000
OPTIONS: dict[str, Any] = {"align": False, "size": 64}
NUMBERS: tuple[Any, ...] = (
    "0.5", "no", True, False, [0.5], {"a": 1}, 1e999, -1e999, float("nan"), -0.1, 1.5, 10**30,
    "\ud800",
)  # fmt: skip
INTEGERS: tuple[Any, ...] = (
    "64", 64.5, 64.0, True, False, [64], {}, float("nan"), 1e999, -1, 63, 1025, 2**63, 10**4000,
)  # fmt: skip
TRUTHS: tuple[Any, ...] = ("no", "false", "", 0, 1, 0.0, [], {}, [True], float("nan"), "\ud800")
TEXTS: tuple[Any, ...] = (1, 1.5, True, [1], {}, "", "\ud800", "\0", "a" * 100_000, float("nan"))
LISTS: tuple[Any, ...] = (
    "abc", 1, True, {}, [True], [[1.0]], [None], ["x"], [float("nan")] * 10, [1e999] * 10,
    [2.0] * 10, [1.0] * 10_000, [{}],
)  # fmt: skip
# What is no value of an option; None and [] of a list take its default.
WRONG: dict[str, tuple[Any, ...]] = {
    "structure": NUMBERS,
    "color": NUMBERS,
    "truncation": NUMBERS,
    "preserve_color": tuple(one for one in TRUTHS if one != []),
    "paste": tuple(one for one in TRUTHS if one != []),
    "align": tuple(one for one in TRUTHS if one != []),
    "size": INTEGERS,
    "fit_steps": (*(one for one in INTEGERS if one not in (63, 1025)), 5001),
    "seed": tuple(one for one in INTEGERS if one not in (-1, 63, 1025)),
    "weights": LISTS,
    "mix": (*LISTS, ["stone:nan"], ["stone:1e999"], ["stone:-1"], ["\ud800:1"], ["stone:0"]),
    "faces": (*TEXTS, "0", "-1", "some", "9" * 5000, "\u00b2"),
    "format": (*TEXTS, "gif", "../png", "PNG"),
    "background": (*TEXTS, "none"),
    "strength": (0.5, None),
}
BODIES = (
    b"", b"null", b"1", b'"x"', b"[]", b"{}", b"nonsense", b"\xff\xfe{}", b"\xef\xbb\xbf{}", b"NaN",
    b"[" * DEEP + b"]" * DEEP, b'{"a":' * DEEP + b"1" + b"}" * DEEP, b"[" * DEEP, b'{"a":1}{"a":1}',
    b'{"dataframe_records": ' + b"9" * 5000 + b"}", b'{"dataframe_records":[1e400]}',
    b'{"dataframe_records":[]}', b'{"dataframe_records":{}}', b'{"dataframe_records":null}',
    b'{"dataframe_records":[null]}', b'{"dataframe_records":[[]]}',
    b'{"dataframe_records":[1,"a"]}', b'{"dataframe_split":{}}', b'{"dataframe_split":{"data":1}}',
    b'{"dataframe_split":[]}',
    b'{"dataframe_split":{"columns":["image","style"],"data":[["a"]]}}',
    b'{"dataframe_split":{"columns":["image","image"],"data":[["a","b"]]}}',
    b'{"dataframe_split":{"columns":[["image"]],"data":[["a"]]}}',
    b'{"inputs":null}', b'{"inputs":1}', b'{"inputs":"x"}', b'{"inputs":[]}', b'{"inputs":{}}',
    b'{"inputs":{"image":["a","b"],"style":["c"]}}', b'{"inputs":[[1],[2,3]]}',
    b'{"instances":null}', b'{"instances":[]}', b'{"instances":[{"image":"a"},{"style":"b"}]}',
    b'{"inputs":[],"instances":[]}', b'{"messages":[]}', b'{"prompt":"x"}', b'{"input":"x"}',
    b'{"dataframe_records":[{"image":"a","style":"b"}],"params":[]}',
    b'{"dataframe_records":[{"image":"a","style":"b"}],"params":5}',
    b'{"dataframe_records":[{"image":"a","style":"b"}],"params":{"":1}}',
    b'{"dataframe_records":[{"image":"\\ud800","style":"\\udfff"}]}',
)  # fmt: skip
KINDS = (
    None, "", "text/html", "application/json; charset=latin-1", "application/json; boundary=x",
    "text/csv", "application/vnd.apache.parquet", "multipart/form-data", "a" * 5000, "\xff", ";;;",
)  # fmt: skip
OTHERS = (
    (b"image,style\nx,stone\n", "text/csv"), (b"\xff\xfe", "text/csv"), (b"", "text/csv"),
    (b'a,b\n1,2,3\n"', "text/csv"), (b"PAR1garbagePAR1", "application/vnd.apache.parquet"),
    (b"", "application/vnd.apache.parquet"), (b"image\n" + b"," * 500, "text/csv"),
)  # fmt: skip


def base64_of(shade: int, size: int = 96) -> str:
    """Return a picture of a shade of its own, as clients send it."""
    buffer = io.BytesIO()
    picture = Image.linear_gradient("L").resize((size, size)).convert("RGB")
    picture.point(lambda level: (level + shade) % 256).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def body(rows: list[dict[str, Any]], form: str = "dataframe_records", **options: Any) -> bytes:
    """Return the body of a request: rows in one of MLflow's forms, and options."""
    asked: dict[str, Any] = {"params": OPTIONS | options}
    if form == "dataframe_split":
        columns = list(rows[0])
        asked[form] = {"columns": columns, "data": [[row[c] for c in columns] for row in rows]}
    else:
        asked[form] = rows
    return json.dumps(asked).encode()


def row(rng: random.Random) -> dict[str, Any]:
    """Return a row that can be served."""
    return {"image": base64_of(rng.randrange(256)), "style": rng.choice(STYLE_NAMES)}


def valid(rng: random.Random) -> Shot:
    """Return a request that is to be served."""
    options: dict[str, Any] = {}
    if rng.random() < 0.5:
        options["structure"] = rng.choice((0, 1, 0.5, None))
    if rng.random() < 0.3:
        options |= {"preserve_color": rng.random() < 0.5, "format": rng.choice(("jpg", "webp"))}
    form = rng.choice(("dataframe_records", "dataframe_split", "inputs", "instances"))
    data = body([row(rng) for _ in range(rng.choice((1, 1, 1, 3)))], form, **options)
    if rng.random() < 0.1:
        return Shot(VALID, "chunked", chunked("POST", TARGET, data, JSON, 7))
    if rng.random() < 0.05:
        return Shot(VALID, "ping", (request("GET", "/ping"),))
    return Shot(VALID, form, (request("POST", TARGET, data, JSON),))


def one(rng: random.Random) -> Shot:
    """Return the same small request, but for its picture's shade."""
    return Shot(VALID, "one row", (request("POST", TARGET, body([row(rng)]), JSON),))


def hostile(rng: random.Random) -> Shot:
    """Return a request in good HTTP that must be refused, or have an error in each bad row."""

    def option() -> tuple[str, bytes, str | None]:
        name = rng.choice(sorted(WRONG))
        value = rng.choice(WRONG[name])
        rows = [row(rng)] if name not in ("mix", "seed") else [{"image": base64_of(0)}]
        data = body(rows, **{name: value})
        return f"{name} {str(value)[:20]!r}", data, JSON

    def cell() -> tuple[str, bytes, str | None]:
        name = rng.choice(("image", "style"))
        value = rng.choice(
            (1, 1.5, True, ["a"], {"a": 1}, None, "", "%", "\ud800", "nobody", "/etc/passwd",
             "a" * 10**6)
        )  # fmt: skip
        return f"{name} {str(value)[:20]!r}", body([row(rng) | {name: value}]), JSON

    def deep() -> tuple[str, bytes, str | None]:
        depth = rng.choice((200, 900, 5000, DEEP))
        hole = rng.choice((b'"style": 0', b'"size": 64'))
        data = body([row(rng) | {"style": 0}])
        nested = hole.partition(b":")[0] + b": " + b"[" * depth + b"]" * depth
        return f"deep {depth}", data.replace(hole, nested), JSON

    def whole() -> tuple[str, bytes, str | None]:
        data = rng.choice(BODIES)
        return f"body {data[:40]!r}", data, JSON

    def kind() -> tuple[str, bytes, str | None]:
        named = rng.choice(KINDS)
        return f"type {named}"[:40], body([row(rng)]), named

    def other() -> tuple[str, bytes, str | None]:
        data, named = rng.choice(OTHERS)
        return f"{named} {data[:20]!r}", data, named

    ways: tuple[Callable[[], tuple[str, bytes, str | None]], ...] = (
        option, option, option, cell, deep, whole, kind, other,
    )  # fmt: skip
    name, data, content_type = rng.choice(ways)()
    return Shot(HOSTILE, name, (request("POST", TARGET, data, content_type),))


def draw(rng: random.Random) -> Shot:
    """Return a request of any kind."""
    way = rng.random()
    if way < 0.4:
        return valid(rng)
    if way < 0.75:
        return hostile(rng)
    data = body([row(rng)])
    if way < 0.85:
        return Shot(MALFORMED, "mutated", (request("POST", TARGET, mutated(rng, data), JSON),))
    return malformed(rng, TARGET, data, JSON)
