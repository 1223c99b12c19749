"""Texts of a site: its page, what its service worker keeps, and its README."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dualstylegan.errors import CheckpointError

# As the studio's, and WebAssembly. `frame-ancestors` has no effect in a page: it needs a header.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
    )
)
CHARSET = '<meta charset="utf-8">'
README = """\
# Portrait studio

The model {model} as a static site. Visitors' browsers compute everything; no picture leaves their
machines, and nothing is asked of any other host. A second visit needs no network.

Serve this folder from any web server, below any path, by HTTPS: browsers offer the camera, the
cache and several threads to secure pages alone. To try it on this machine:

    python -m http.server --bind 127.0.0.1

From `file:` addresses browsers load no modules.

With these headers on every file, the first visit computes on several threads at once:

    Cross-Origin-Opener-Policy: same-origin
    Cross-Origin-Embedder-Policy: require-corp

Without them the page's service worker sets them, and loads the page a second time for it. Where
neither works, one thread computes.

| part | MB on its way to a visitor |
|---|---|
{parts}
| **all** | **{total}** |

Where a browser offers WebGPU, another runtime, 3 MB larger, takes the place of this one.

Licences: the model, {licence} in `model/` or in the folder that it was exported from; the landmark
model, trained on iBUG 300-W, **no commercial use**; onnxruntime-web, MIT, `runtime/LICENSE.txt`;
the page, Apache-2.0.
"""


@dataclass(frozen=True)
class SitePart:
    """Part of a site.

    Attributes:
        name: for people.
        length: bytes as they travel to a visitor.
    """

    name: str
    length: int


def page_text(studio: str) -> str:
    """Return the site's page: the studio's, with a content security policy of its own.

    Raises:
        CheckpointError: the studio's page is another than expected.
    """
    policy = f'{CHARSET}\n<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    if CHARSET not in studio:
        raise CheckpointError("the studio's page has no character set", fix="install anew")
    return studio.replace(CHARSET, policy)


def shell_text(folder: Path, files: Sequence[str]) -> str:
    """Return the script that tells the service worker which files to keep, and their version.

    Args:
        folder: the site.
        files: paths in it.
    """
    digest = hashlib.sha256()
    for name in files:
        digest.update(name.encode() + b"\0" + (folder / name).read_bytes())
    shell = {"version": digest.hexdigest()[:16], "policy": POLICY, "files": list(files)}
    return f"self.SHELL = {json.dumps(shell, indent=1)};\n"


def readme_text(model: str, licence: str, parts: Sequence[SitePart]) -> str:
    """Return the site's README.

    Args:
        model: its name.
        licence: of its weights.
        parts: what a visitor fetches.
    """
    lines = [f"| {part.name} | {part.length / 1e6:.1f} |" for part in parts]
    total = sum(part.length for part in parts) / 1e6
    return README.format(model=model, parts="\n".join(lines), total=f"{total:.1f}", licence=licence)
