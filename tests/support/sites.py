"""Static servers on loopback, and arrays to and from modules of JavaScript in a real browser."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.support.browser import Tab

Array = NDArray[Any]
# Headers by which browsers let a page share memory between threads.
ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}
TYPES = {"uint8": "Uint8Array", "int16": "Int16Array", "float32": "Float32Array"}
HELPERS = """
window.unpack = (text, Type) =>
  new Type(Uint8Array.from(atob(text), (x) => x.charCodeAt(0)).buffer);
window.pack = (data) => {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  let text = '';
  for (let at = 0; at < bytes.length; at += 32768) {
    text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  }
  return btoa(text);
};
"""


class _Quiet(SimpleHTTPRequestHandler):
    """Handler that serves files without a log, with some headers, below a prefix of paths."""

    extra: Mapping[str, str] = {}
    prefix = ""
    asked: list[str]

    def log_message(self, *arguments: Any) -> None:
        pass

    def end_headers(self) -> None:
        for name, value in self.extra.items():
            self.send_header(name, value)
        super().end_headers()

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def translate_path(self, path: str) -> str:
        if not path.startswith(self.prefix):
            return "/nowhere"
        return super().translate_path(path.removeprefix(self.prefix) or "/")


@dataclass(frozen=True)
class Site:
    """Folder that is served.

    Attributes:
        address: of its page.
        asked: paths of all requests so far.
    """

    address: str
    asked: list[str]


@contextmanager
def served(
    folder: Path, headers: Mapping[str, str] | None = None, prefix: str = ""
) -> Iterator[Site]:
    """Serve a folder on loopback, below a prefix of paths; it ends at the end."""
    asked: list[str] = []
    members = {"extra": headers or {}, "prefix": prefix, "asked": asked}
    handler = partial(type("Handler", (_Quiet,), members), directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Site(f"http://127.0.0.1:{server.server_port}{prefix}/", asked)
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def packed(array: Array) -> str:
    """Return an expression for a typed array."""
    text = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return f"unpack('{text}', {TYPES[array.dtype.name]})"


def picture(image: Image.Image) -> str:
    """Return an expression for an image of the page's modules."""
    channels = len(image.getbands())
    about = f"width: {image.width}, height: {image.height}, channels: {channels}"
    return f"{{{about}, data: {packed(np.asarray(image))}}}"


def imported(tab: Tab, module: str, expression: str) -> Any:
    """Return the value of an expression in which `m` is a module of the served folder."""
    return tab.ask(
        f"(async () => {{ const m = await import('/{module}'); return {expression} }})()"
    )


def pixels(tab: Tab, module: str, expression: str) -> Array:
    """Return the levels (H, W, C) of an image that an expression with `m` gives."""
    answer = f"(x => ({{...x, data: pack(x.data)}}))({expression})"
    told = imported(tab, module, answer)
    levels = np.frombuffer(base64.b64decode(told["data"]), np.uint8)
    return levels.reshape(told["height"], told["width"], told["channels"])


def as_json(value: Any) -> str:
    """Return an expression for a value of lists and numbers."""
    return json.dumps(value.tolist() if isinstance(value, np.ndarray) else value)
