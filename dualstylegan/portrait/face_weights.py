"""Third-party weights beside a model: face detector, landmark model, LPIPS, face recognition.

`transfer` needs them to find a face and to fit its code, `add_style` likewise. A model folder holds
them in `faces/`; for a folder made before that, the caller or DUALSTYLEGAN_WEIGHTS names them.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from dualstylegan.errors import WeightsError
from dualstylegan.faces.detect import DETECTOR_FILE
from dualstylegan.faces.landmarks import PREDICTOR_FILE
from dualstylegan.io.files import atomic_write
from dualstylegan.networks.loading import IDENTITY_FILE, PERCEPTUAL_FILE

ENVIRONMENT = "DUALSTYLEGAN_WEIGHTS"
FOLDER = "faces"
FACE_FILES = (DETECTOR_FILE, PREDICTOR_FILE)
FILES = (*FACE_FILES, PERCEPTUAL_FILE, IDENTITY_FILE)


def find_weights(model_folder: Path, weights_dir: Path | str | None) -> Path | None:
    """Return the folder of the weights: the model's own, else the caller's, else None."""
    own = model_folder / FOLDER
    if own.is_dir():
        return own
    return None if weights_dir is None else Path(weights_dir)


def has_weights(weights_dir: Path | None, name: str) -> bool:
    """Return True if a file of weights is at hand, see `require_weights`."""
    folder = _folder(weights_dir)
    return folder is not None and (folder / name).is_file()


def require_weights(weights_dir: Path | None, *names: str) -> Path:
    """Return the folder that holds some weights, by default that of DUALSTYLEGAN_WEIGHTS.

    Raises:
        WeightsError: there is no folder, or a file is missing in it.
    """
    folder = _folder(weights_dir)
    fix = f"set {ENVIRONMENT} to a folder with {', '.join(FILES)}, or package the model anew"
    if folder is None:
        raise WeightsError(f"the model folder has no {FOLDER}/", value="none", fix=fix)
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise WeightsError("weights are missing", file=folder, value=", ".join(missing), fix=fix)
    return folder


def _folder(weights_dir: Path | None) -> Path | None:
    named = os.environ.get(ENVIRONMENT)
    return weights_dir if weights_dir is not None else Path(named) if named else None


def copy_weights(source: Path | None, target: Path) -> None:
    """Copy those of the weights that `source` has into the new folder `target`."""
    if source is None:
        return
    for name in FILES:
        if (source / name).is_file():
            with open(source / name, "rb") as given, atomic_write(target / name) as handle:
                shutil.copyfileobj(given, handle, 1 << 20)
