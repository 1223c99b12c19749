"""Third-party weights beside a model: face detector, landmark model, LPIPS, face recognition.

`transfer` needs them to find a face and to fit its code, `add_style` likewise. A model folder holds
them in `faces/`; for a folder made before that, the caller or DUALSTYLEGAN_WEIGHTS names them.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from dualstylegan.errors import OutputError, WeightsError
from dualstylegan.faces.detect import DETECTOR_FILE
from dualstylegan.faces.landmarks import PREDICTOR_FILE
from dualstylegan.io.files import atomic_write, sha256_file, short_digest, write_bytes
from dualstylegan.networks.config import IDENTITY_FILE, PERCEPTUAL_FILE
from dualstylegan.networks.listing import check_files
from dualstylegan.portrait.packed_landmarks import unpack_predictor, unpacked_digest

ENVIRONMENT = "DUALSTYLEGAN_WEIGHTS"
CACHE_ENVIRONMENT = "DUALSTYLEGAN_CACHE"
FOLDER = "faces"
FACE_FILES = (DETECTOR_FILE, PREDICTOR_FILE)
FILES = (*FACE_FILES, PERCEPTUAL_FILE, IDENTITY_FILE)
# The landmark model of a distribution, see `packed_landmarks`.
PACKED_FILE = "landmarks68.safetensors"


def find_weights(model_folder: Path, weights_dir: Path | str | None) -> Path | None:
    """Return the folder of the weights: the model's own, else the caller's, else None."""
    own = model_folder / FOLDER
    if own.is_dir():
        return own
    return None if weights_dir is None else Path(weights_dir)


def has_weights(weights_dir: Path | None, name: str) -> bool:
    """Return True if a file of weights is at hand, see `require_weights`."""
    folder = weights_folder(weights_dir)
    return folder is not None and (folder / name).is_file()


def require_weights(weights_dir: Path | None, *names: str) -> Path:
    """Return the folder that holds some weights, by default that of DUALSTYLEGAN_WEIGHTS.

    Raises:
        WeightsError: there is no folder, or a file is missing in it.
        CheckpointError: a file of a model folder is damaged.
    """
    folder = weights_folder(weights_dir)
    fix = f"set {ENVIRONMENT} to a folder with {', '.join(FILES)}, or package the model anew"
    if folder is None:
        raise WeightsError(f"the model folder has no {FOLDER}/", value="none", fix=fix)
    if folder.name == FOLDER:
        check_files(folder.parent, *(f"{FOLDER}/{name}" for name in (*names, PACKED_FILE)))
    if PREDICTOR_FILE in names and (folder / PACKED_FILE).is_file():
        folder = unpacked_folder(folder)
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise WeightsError("weights are missing", file=folder, value=", ".join(missing), fix=fix)
    return folder


def unpacked_folder(packed: Path) -> Path:
    """Return a folder with the detector and the landmark model, unpacked at the first use.

    It lies in the user's cache and is named by the model's digest. A file there that was damaged
    is made anew.

    Args:
        packed: folder of the weights, with PACKED_FILE.

    Raises:
        CheckpointError: PACKED_FILE is damaged; OutputError: the cache cannot be written.
    """
    source, detector = packed / PACKED_FILE, packed / DETECTOR_FILE
    digest = unpacked_digest(source)
    folder = cache_folder() / f"landmarks-{short_digest(digest)}"
    target = folder / PREDICTOR_FILE
    try:
        whole = target.is_file() and sha256_file(target) == digest
        if not whole:
            write_bytes(target, unpack_predictor(source))
        if detector.is_file():
            content = detector.read_bytes()
            copy = folder / DETECTOR_FILE
            if not copy.is_file() or copy.read_bytes() != content:
                write_bytes(copy, content)
    except OutputError as error:
        raise OutputError(
            "the landmark model cannot be unpacked here",
            file=folder,
            value=error.value,
            fix=f"set {CACHE_ENVIRONMENT} to a folder that you may write to",
        ) from error
    return folder


def cache_folder() -> Path:
    """Return the folder of what the library keeps between runs: DUALSTYLEGAN_CACHE or the user's.

    The user's lies in XDG_CACHE_HOME or ~/.cache, on Windows in LOCALAPPDATA.
    """
    named = os.environ.get(CACHE_ENVIRONMENT)
    if named:
        return Path(named)
    base = os.environ.get("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME")
    return (Path(base) if base else Path("~/.cache").expanduser()) / "dualstylegan"


def weights_folder(weights_dir: Path | None) -> Path | None:
    """Return the folder of the weights, by default that of DUALSTYLEGAN_WEIGHTS; None: neither."""
    named = os.environ.get(ENVIRONMENT)
    return weights_dir if weights_dir is not None else Path(named) if named else None


def copy_weights(source: Path | None, target: Path) -> None:
    """Copy those of the weights that `source` has into the new folder `target`."""
    if source is None:
        return
    for name in (*FILES, PACKED_FILE):
        if (source / name).is_file():
            with open(source / name, "rb") as given, atomic_write(target / name) as handle:
                shutil.copyfileobj(given, handle, 1 << 20)
