"""files.json of a model folder: length and SHA-256 of its files, so that damage is noticed.

A folder without it, made before there were any, is taken as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from dualstylegan.errors import CheckpointError
from dualstylegan.io.checkpoints import lacks_seal
from dualstylegan.io.files import MAX_JSON_BYTES, sha256_file, write_bytes
from dualstylegan.io.seals import BLANK, FIELD, is_whole, sealed
from dualstylegan.networks.config import CARD_FILE, ClosedSchema, FileRecord, read_validated

LISTING_FILE = "files.json"
FIX = "fetch or make the model again"


class Listing(ClosedSchema):
    """files.json.

    Attributes:
        format: of the listing.
        files: every other file of the folder but its card, by its path, "/" between the parts.
        seal: see `dualstylegan.io.seals`.
    """

    format: Literal[1] = 1
    files: dict[str, FileRecord]
    seal: Annotated[str, Field(pattern=FIELD)] = BLANK


def records_of(folder: Path) -> dict[str, FileRecord]:
    """Return the records of every file under a folder, by path, sorted.

    The listing is left out, and the card: people edit it, and a hub's names the hub.
    """
    return {
        name: FileRecord(length=path.stat().st_size, sha256=sha256_file(path))
        for name, path in _paths(folder).items()
    }


def _paths(folder: Path) -> dict[str, Path]:
    """Return the files under a folder that are recorded; hidden ones are others', such as git's."""
    paths = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    left_out = (Path(LISTING_FILE), Path(CARD_FILE))
    return {
        name.as_posix(): paths[name]
        for name in sorted(paths)
        if name not in left_out and not any(part.startswith(".") for part in name.parts)
    }


def write_listing(folder: Path) -> None:
    """Write files.json of a folder whose other files are all there, atomically."""
    listing = Listing(files=records_of(folder)).model_dump(mode="json")
    text = json.dumps(listing, indent=2, sort_keys=True) + "\n"
    write_bytes(folder / LISTING_FILE, sealed(text.encode()))


def read_listing(folder: Path) -> Listing | None:
    """Read files.json of a model folder; None if it has none.

    Raises:
        CheckpointError: it is damaged, or not a listing.
    """
    path = folder / LISTING_FILE
    if not path.is_file():
        return None
    length = path.stat().st_size
    if length > MAX_JSON_BYTES:
        raise CheckpointError(
            "not a listing of the model's files",
            file=path,
            value=f"{length} bytes",
            limit=f"{MAX_JSON_BYTES} bytes",
            fix=FIX,
        )
    if not is_whole(path):
        raise CheckpointError("a damaged listing of the model's files", file=path, fix=FIX)
    return read_validated(Listing, path)


def check_files(folder: Path, *names: str) -> None:
    """Check files of a model folder against its listing; each once while it does not change.

    Args:
        folder: of the model.
        names: paths of files in it; those that are missing, which is their reader's to tell, and
            those that the listing does not name are passed over.

    Raises:
        CheckpointError: a file is damaged, or the listing itself is.
    """
    listing = read_listing(folder)
    for name in names:
        record = None if listing is None else listing.files.get(name)
        if record is not None and (folder / name).is_file():
            problem = _problem_of(folder / name, record, _sha256_while_unchanged)
            if problem is not None:
                raise CheckpointError(problem, file=folder / name, fix=FIX)


def check_seals(folder: Path, *names: str) -> None:
    """Refuse files of a listed folder without the seals by which their readers check them.

    Raises:
        CheckpointError: a file has no seal, or the listing is damaged.
    """
    if read_listing(folder) is None:
        return
    for name in names:
        path = folder / name
        if path.is_file() and lacks_seal(path):
            raise CheckpointError("a damaged file: it has lost its seal", file=path, fix=FIX)


def _problem_of(path: Path, record: FileRecord, sha256: Callable[[Path], str]) -> str | None:
    if not path.is_file():
        return "a file of the model is missing"
    length = path.stat().st_size
    if length != record.length:
        return f"a damaged file: {length} bytes, not {record.length}"
    if sha256(path) != record.sha256:
        return "a damaged file: its content is not that which was written"
    return None


def find_problems(folder: Path, files: Mapping[str, FileRecord], *besides: str) -> list[str]:
    """Read every file of a folder and return its problems as `PATH: PROBLEM`.

    Args:
        folder: of the model.
        files: its records.
        besides: further files that may be there; any other is a problem too.
    """
    problems = {
        name: _problem_of(folder / name, record, sha256_file) for name, record in files.items()
    }
    extra = sorted(_paths(folder).keys() - files.keys() - set(besides))
    faults = [f"{name}: {problem}" for name, problem in problems.items() if problem is not None]
    return faults + [f"{name}: not a file of the model" for name in extra]


def _sha256_while_unchanged(path: Path) -> str:
    # a path through a descriptor, as in `read_generation`, means another file later
    path = path.resolve()
    found = path.stat()
    return _kept_sha256(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=256)
def _kept_sha256(path: Path, _length: int, _changed_ns: int) -> str:
    return sha256_file(path)
