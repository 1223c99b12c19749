"""Model folders as one file, to take a visitor's style along."""

from __future__ import annotations

import contextlib
import os
import tempfile
import zipfile
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

from dualstylegan.errors import OutputError
from dualstylegan.io.files import scratch_folder

if TYPE_CHECKING:
    from dualstylegan.portrait.model import PortraitModel

CHUNK_BYTES = 1 << 20


def pack_model(model: PortraitModel, name: str) -> IO[bytes]:
    """Return a ZIP file of the model's folder, of the given name, that is gone when it is closed.

    Raises:
        OutputError: no space for it.
    """
    try:
        with contextlib.ExitStack() as stack:
            packed = stack.enter_context(tempfile.TemporaryFile())
            folder = stack.enter_context(scratch_folder()) / name
            model.save_pretrained(folder)
            with zipfile.ZipFile(packed, "w") as file:  # weights hardly compress
                for path in sorted(folder.rglob("*")):
                    file.write(path, path.relative_to(folder.parent))
            packed.seek(0)
            return os.fdopen(os.dup(packed.fileno()), "rb")
    except OSError as error:
        raise OutputError(
            "the model cannot be packed", value=error.strerror, fix="free some space"
        ) from error


def chunks(file: IO[bytes]) -> Iterator[bytes]:
    """Yield a file's content piece by piece, and close it."""
    with file:
        while piece := file.read(CHUNK_BYTES):
            yield piece
