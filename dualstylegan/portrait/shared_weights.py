"""Third-party weights that many model folders share: one copy, which each names by its content.

A store of models keeps the files of `faces/` once. A model's reference to them says where they lie
and what they are; they are fetched at the first use and checked at every one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from dualstylegan.errors import OutputError, WeightsError
from dualstylegan.io.files import atomic_directory, scratch_folder, short_digest, write_json
from dualstylegan.networks.config import ClosedSchema, FileRecord, read_validated
from dualstylegan.networks.listing import find_problems, records_of
from dualstylegan.portrait.face_weights import (
    CACHE_ENVIRONMENT,
    ENVIRONMENT,
    FILES,
    FOLDER,
    cache_folder,
)


class WeightsReference(ClosedSchema):
    """Reference to shared weights.

    Attributes:
        address: where a store keeps them, in the store's own terms.
        files: each file's length and SHA-256, by name.
    """

    address: str
    files: dict[str, FileRecord]

    @property
    def digest(self) -> str:
        """SHA-256 of all names and contents."""
        return digest_of(self.files)


def digest_of(files: dict[str, FileRecord]) -> str:
    """Return the SHA-256 of the names and contents of files."""
    lines = (f"{files[name].sha256} {name}\n" for name in sorted(files))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def shared_records(model_folder: Path) -> dict[str, FileRecord]:
    """Return the records of a model folder's third-party weights; empty if it has none."""
    folder = model_folder / FOLDER
    return records_of(folder) if folder.is_dir() else {}


def write_reference(path: Path, reference: WeightsReference) -> None:
    """Write a reference as JSON."""
    write_json(path, reference.model_dump(mode="json"))


def read_reference(path: Path) -> WeightsReference:
    """Read a reference.

    Raises:
        CheckpointError: it is damaged, or no reference.
    """
    return read_validated(WeightsReference, path)


def local_weights(reference: WeightsReference, fetch: Callable[[str, Path], Path]) -> Path:
    """Return a local folder with the weights of a reference, whole.

    Looked for in this order: DUALSTYLEGAN_WEIGHTS, the cache, the store. What the store sends is
    kept in the cache; files of a store on this machine are used where they lie.

    Args:
        reference: to the weights.
        fetch: takes an address and an empty folder, and returns the folder of the files: one in
            the empty folder, or a local one.

    Raises:
        WeightsError: the store does not give them, or gives others.
        OutputError: the cache cannot be written.
    """
    kept = cache_folder() / f"weights-{short_digest(reference.digest)}"
    named = os.environ.get(ENVIRONMENT)
    for folder in (*([Path(named)] if named else []), kept):
        if folder.is_dir() and not _faults(folder, reference):
            return folder
    with scratch_folder() as scratch:
        try:
            given = fetch(reference.address, scratch)
        except Exception as error:  # a store may raise anything
            raise _missing(reference, error) from error
        faults = _faults(given, reference)
        if faults:
            raise _missing(reference, "; ".join(faults))
        if scratch not in given.parents and given != scratch:
            return given
        try:
            with atomic_directory(kept) as out:
                for name in reference.files:
                    shutil.copyfile(given / name, out / name)
        except OutputError as error:
            raise OutputError(
                "the weights of the model cannot be kept here",
                file=kept,
                value=error.value,
                fix=f"set {CACHE_ENVIRONMENT} to a folder that you may write to",
            ) from error
    return kept


def _faults(folder: Path, reference: WeightsReference) -> list[str]:
    """Return the problems of the files of a reference; others in the folder do not count."""
    faults = find_problems(folder, reference.files)
    return [fault for fault in faults if fault.partition(":")[0] in reference.files]


def _missing(reference: WeightsReference, cause: object) -> WeightsError:
    return WeightsError(
        "the shared weights of the model cannot be had",
        file=reference.address,
        value=str(cause).partition("\n")[0][:300],
        limit=f"{len(reference.files)} files of {', '.join(FILES)}, whole",
        fix=f"make the store of the model known and reachable, or set {ENVIRONMENT} to a folder "
        "with the files",
    )
