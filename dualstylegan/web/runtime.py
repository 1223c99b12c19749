"""onnxruntime-web: the runtime of the browser, from a pinned package of the npm registry."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from dualstylegan.errors import DownloadError
from dualstylegan.io.files import write_bytes
from dualstylegan.portrait.face_weights import cache_folder

PACKAGE = "onnxruntime-web@1.30.0"
ARCHIVE = "onnxruntime-web-1.30.0.tgz"
SHA512 = (
    "ab4cbe26baedba45d2cec05610c71c55fa97db92d19a8b171c5f8269126683ca"
    "590a5cdc57bb2f35ce2b298de32f4d956fb42644c0ecd528a0a91e025c07ca61"
)
NPM_SECONDS = 600
FIX = "give an unpacked package as --runtime FOLDER, or its archive in the cache as {path}"
LICENCE = """\
onnxruntime-web 1.30.0
Copyright (c) Microsoft Corporation

MIT License

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute,
sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial
portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES
OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN
CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


@dataclass(frozen=True)
class Build:
    """Build of the runtime: a module of JavaScript and its WebAssembly, in the package's `dist`.

    Attributes:
        module, wasm: names of the files.
    """

    module: str
    wasm: str


# The processor alone, and the graphics processor beside it.
BUILDS = {
    "wasm": Build("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"),
    "webgpu": Build("ort.webgpu.bundle.min.mjs", "ort-wasm-simd-threaded.asyncify.wasm"),
}
DIGESTS = {
    "ort.wasm.bundle.min.mjs": ("11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90"),
    "ort-wasm-simd-threaded.wasm": (
        "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2"
    ),
    "ort.webgpu.bundle.min.mjs": (
        "0730816731ce2cdfb06f273da065d4a1c7091eb9d1756a83b2916c8a89d015e2"
    ),
    "ort-wasm-simd-threaded.asyncify.wasm": (
        "39f9f0894d478800487ed9f7dbe92618498db320cf55c8e3d89adff8dce658da"
    ),
}


def runtime_files(folder: Path | None = None) -> dict[str, bytes]:
    """Return the files of both builds by name, checked by their digests.

    Args:
        folder: an unpacked package; None takes the archive of the cache, which npm fetches.

    Raises:
        DownloadError: npm is missing or fails, or a file is not the pinned one.
        OutputError: the cache cannot be written.
    """
    found = _of_folder(folder) if folder is not None else _of_archive(fetched_archive())
    for name, content in found.items():
        if hashlib.sha256(content).hexdigest() != DIGESTS[name]:
            raise DownloadError(
                "not the pinned file of the runtime",
                file=name if folder is None else folder / name,
                limit=PACKAGE,
                fix=f"unpack {PACKAGE} anew",
            )
    return found


def fetched_archive() -> Path:
    """Return the package's archive in the cache; npm fetches it where it is not there.

    Raises:
        DownloadError: npm is missing or fails, or gives another file than the pinned one.
        OutputError: the cache cannot be written.
    """
    path = cache_folder() / ARCHIVE
    if path.is_file() and _sha512(path.read_bytes()) == SHA512:
        return path
    npm = shutil.which("npm")
    fix = FIX.format(path=path)
    if npm is None:
        raise DownloadError("npm, which fetches the browser's runtime, is missing", fix=fix)
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", PACKAGE, "--silent", "--fetch-retries=1"]
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=NPM_SECONDS
            )
        except subprocess.TimeoutExpired as error:
            raise DownloadError(
                "npm takes too long", value=PACKAGE, limit=f"{NPM_SECONDS} seconds", fix=fix
            ) from error
        archive = Path(folder) / ARCHIVE
        if done.returncode != 0 or not archive.is_file():
            lines = done.stderr.strip().splitlines()
            reason = lines[-1] if lines else f"exit status {done.returncode}"
            raise DownloadError(
                "npm cannot fetch the browser's runtime", file=PACKAGE, value=reason, fix=fix
            )
        content = archive.read_bytes()
    if _sha512(content) != SHA512:
        raise DownloadError(
            "not the pinned package", file=PACKAGE, value=_sha512(content), limit=SHA512, fix=fix
        )
    write_bytes(path, content)
    return path


def licence_files() -> dict[str, bytes]:
    """Return the runtime's licence and, where onnxruntime is installed, its notices, by name.

    The npm package holds neither; the notices are those of the same project's Python package.
    """
    files = {"LICENSE.txt": LICENCE.encode()}
    spec = find_spec("onnxruntime")
    if spec is not None and spec.origin is not None:
        notices = Path(spec.origin).parent / "ThirdPartyNotices.txt"
        if notices.is_file():
            files[notices.name] = notices.read_bytes()
    return files


def _sha512(content: bytes) -> str:
    return hashlib.sha512(content).hexdigest()


def _of_folder(folder: Path) -> dict[str, bytes]:
    """Read the files of an unpacked package, or of its `dist`."""
    place = folder / "dist" if (folder / "dist").is_dir() else folder
    missing = [name for name in DIGESTS if not (place / name).is_file()]
    if missing:
        raise DownloadError(
            "not an unpacked package of the runtime",
            file=folder,
            value=f"{missing[0]} missing",
            fix=f"unpack {PACKAGE}, and give its folder",
        )
    return {name: (place / name).read_bytes() for name in DIGESTS}


def _of_archive(path: Path) -> dict[str, bytes]:
    """Read the files of the package's archive, whose digest has been checked."""
    with tarfile.open(path) as archive:
        return {name: _member(archive, f"package/dist/{name}") for name in DIGESTS}


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    handle = archive.extractfile(name)
    assert handle is not None
    return handle.read()
