"""Export of a model as a static site, on which visitors' own browsers restyle their portraits.

The site is the studio's page with another engine: an ONNX export of the model in half precision,
the browser's runtime, and modules of JavaScript that do what the library does before and after the
networks.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from dualstylegan import studio
from dualstylegan.errors import DataError
from dualstylegan.graphs.manifest import is_exported, read_manifest
from dualstylegan.io.files import atomic_directory, check_writable, write_bytes, write_text
from dualstylegan.portrait.config import LICENCE_FILE, THUMBNAILS
from dualstylegan.web.description import MODEL, PACKED, model_contents, model_record
from dualstylegan.web.page import SitePart, page_text, readme_text, shell_text
from dualstylegan.web.runtime import BUILDS, licence_files, runtime_files

SITE = Path(__file__).parent / "site"
STUDIO = Path(studio.__file__).parent / "static"
# Files and folders of a site.
STATIC, RUNTIME = "static", "runtime"
PAGE_FILE, SITE_FILE, SHELL_FILE, README_FILE = "index.html", "site.json", "shell.js", "README.md"
WORKER_FILE = "sw.js"
GZIP_LEVEL = 9
# Endings of the files that hold weights in half precision.
HALVES = (f".onnx{PACKED}", f".bin{PACKED}")
# Sides in pixels of pictures at rest, and of moving ones, where the model renders them.
REST_PX, MOVING_PX = 256, 128
NEED_BYTES = 400 << 20
# Names of the parts for people, by the beginnings of their paths.
PARTS = {
    "model/weights": "generator and extrinsic path",
    "model/encoder": "encoder",
    "model/recognition": "face recognition",
    "model/landmarks": "landmark model",
    "runtime/ort-wasm-simd-threaded.wasm": "runtime",
}

# Called with what is done now, and the share of the work done, 0 to 1.
SiteProgress = Callable[[str, float], None]


def export_site(
    source: Path,
    target: Path,
    runtime: Path | None = None,
    progress: SiteProgress = lambda what, share: None,
) -> list[SitePart]:
    """Export a model as a static site; the new folder appears whole or not at all.

    Args:
        source: a model folder, or one that `export-onnx --half` wrote.
        target: the new folder.
        runtime: an unpacked package of the browser's runtime; None: that of the cache, or of npm.
        progress: called as the work goes on.

    Returns:
        What a visitor fetches.

    Raises:
        DataError: `target` exists.
        DownloadError: the browser's runtime cannot be had.
        CheckpointError: `source` is damaged, or lacks what the site needs.
        OutputError: `target` cannot be written.
    """
    check_target(target)
    progress("the browser's runtime", 0.0)
    builds = runtime_files(runtime)
    with tempfile.TemporaryDirectory() as scratch:
        exported = source if is_exported(source) else Path(scratch) / "onnx"
        if exported is not source:
            _export(source, exported, progress)
        contents = model_contents(exported, read_manifest(exported))
        with atomic_directory(target) as out:
            _write_page(out, exported, builds)
            return _write_model(out, exported, contents, builds, progress)


def check_target(target: Path) -> None:
    """Refuse a folder that exists, or that cannot be written.

    Raises:
        DataError, OutputError: say which.
    """
    if os.path.lexists(target):
        raise DataError("the folder exists already", file=target, fix="name another")
    check_writable(target, NEED_BYTES)


def _export(source: Path, target: Path, progress: SiteProgress) -> None:
    """Export a model folder to ONNX, in half precision, at the sizes of the page."""
    from dualstylegan.portrait.config import read_config
    from dualstylegan.portrait.onnx_folder import ExportPlan, export_onnx

    offered = read_config(source).network.generator.build().output_sizes
    sizes = tuple(px for px in (MOVING_PX, REST_PX) if px in offered)
    plan = ExportPlan(sizes, half=True)
    export_onnx(source, target, plan, lambda name, share: progress(name, 0.05 + 0.75 * share))


def _write_page(out: Path, exported: Path, builds: dict[str, bytes]) -> None:
    """Write page, modules, thumbnails and the runtime's modules."""
    shutil.copytree(STUDIO, out / STATIC)
    shutil.copytree(SITE, out, dirs_exist_ok=True)
    page = out / STATIC / PAGE_FILE
    write_text(out / PAGE_FILE, page_text(page.read_text()))
    page.unlink()
    if (exported / THUMBNAILS).is_dir():
        shutil.copytree(exported / THUMBNAILS, out / MODEL / THUMBNAILS)
    if (exported / LICENCE_FILE).is_file():
        write_text(out / MODEL / LICENCE_FILE, (exported / LICENCE_FILE).read_text())
    for build in BUILDS.values():
        write_bytes(out / RUNTIME / build.module, builds[build.module])
    for name, content in licence_files().items():
        write_bytes(out / RUNTIME / name, content)


def _write_model(
    out: Path,
    exported: Path,
    contents: dict[str, bytes],
    builds: dict[str, bytes],
    progress: SiteProgress,
) -> list[SitePart]:
    """Write the packed files, what describes them, and the README."""
    manifest = read_manifest(exported)
    for build in BUILDS.values():
        contents[f"{RUNTIME}/{build.wasm}{PACKED}"] = builds[build.wasm]
    files = {}
    for index, (name, content) in enumerate(contents.items()):
        progress(f"packing {name}", 0.8 + 0.2 * index / len(contents))
        halves = name.endswith(HALVES)
        packed = gzip.compress(_apart(content) if halves else content, GZIP_LEVEL, mtime=0)
        write_bytes(out / name, packed)
        digest = hashlib.sha256(packed).hexdigest()
        files[name] = {"length": len(packed), "sha256": digest, "halves": halves}
    runtimes = {
        name: {"module": f"{RUNTIME}/{build.module}", "wasm": f"{RUNTIME}/{build.wasm}{PACKED}"}
        for name, build in BUILDS.items()
    }
    model = model_record(exported, manifest)
    record = {"format": 1, "model": model, "runtimes": runtimes, "files": files}
    write_text(out / SITE_FILE, json.dumps(record, sort_keys=True, allow_nan=False) + "\n")
    shell = _shell(out)
    write_text(out / SHELL_FILE, shell_text(out, shell))
    parts = _parts(out, shell)
    write_text(out / README_FILE, readme_text(model["name"], manifest.licence, parts))
    return parts


def _apart(content: bytes) -> bytes:
    """Return the bytes of even places, then those of odd ones.

    Of weights in half precision, one half holds signs and exponents, which repeat.
    """
    return content[0::2] + content[1::2]


def _shell(out: Path) -> list[str]:
    """Return the files of a site that its service worker keeps: all but large ones and its own."""
    paths = sorted(path for path in out.rglob("*") if path.is_file() and path.suffix != PACKED)
    names = [path.relative_to(out).as_posix() for path in paths]
    return [name for name in names if name != WORKER_FILE and not name.endswith((".txt", ".md"))]


def _parts(out: Path, shell: list[str]) -> list[SitePart]:
    """Return what a visitor fetches whose browser has no WebGPU."""
    other = {BUILDS["webgpu"].module, f"{BUILDS['webgpu'].wasm}{PACKED}"}
    sizes = dict.fromkeys([*PARTS.values(), "page, codes, detector"], 0)
    for path in [*out.rglob(f"*{PACKED}"), *(out / name for name in shell)]:
        if path.name not in other:
            name = path.relative_to(out).as_posix()
            part = next((PARTS[start] for start in PARTS if name.startswith(start)), None)
            sizes[part or "page, codes, detector"] += path.stat().st_size
    return [SitePart(name, length) for name, length in sizes.items() if length]
