"""Source of the portraits: the user's folder or archive, and what in it is not taken.

`python -m tasks.shared.sources` checks the source of every style set. `make demo` and the flow do
so each time: DVC does not see a linked folder, so that adding one makes no stage stale.
"""

from __future__ import annotations

import difflib
import os
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

from dualstylegan.errors import DataError, DualStyleGANError, one_line
from dualstylegan.io.files import sha256_file
from tasks.shared.archives import unpack_archive
from tasks.shared.paths import KINDS, Paths

# Other names that people give the two folders. Spelling mistakes of all of them count as well.
ALIASES = {
    "style": ("style", "styles", "exemplar", "exemplars", "cartoons", "paintings", "artistic"),
    "content": ("content", "contents", "face", "faces", "photo", "photos", "people"),
}
SIMILARITY = 0.8
HOME = Path("portraits")


def kind_of(name: str) -> str | None:
    """Return the kind of portraits that a folder's name most likely means, if any."""
    kinds = {alias: kind for kind, aliases in ALIASES.items() for alias in aliases}
    close = difflib.get_close_matches(name.casefold(), kinds, n=1, cutoff=SIMILARITY)
    return kinds[close[0]] if close else None


def kind_folders(source: Path) -> dict[str, Path]:
    """Return the folders of a source by kind, of those kinds that are there.

    Raises:
        DataError: the source is no folder, a folder's name is nearly that of a kind, or a folder
            is a link, which DVC does not follow.
    """
    if not source.is_dir():
        raise DataError(
            "no such folder of portraits",
            file=source,
            limit="a folder with `style`, `content` or both in it, or a zip archive of one",
            fix="make it, or correct the set's `source` in params.yaml",
        )
    present = [entry for entry in sorted(source.iterdir()) if entry.name[0] != "."]
    folders = {entry.name: entry for entry in present if entry.name in KINDS}
    for entry in present:
        kind = kind_of(entry.name)
        if entry.is_dir() and entry.name not in KINDS and kind is not None and kind not in folders:
            raise DataError(
                "a folder of portraits under another name",
                file=entry,
                limit="`style` for exemplars, `content` for faces",
                fix=f"rename it to `{kind}`",
            )
    for entry in folders.values():
        if entry.is_symlink():
            raise DataError(
                "a link to a folder: changes behind it would go unnoticed",
                file=entry,
                value=os.readlink(entry),
                fix="set the set's `source` in params.yaml to the folder that holds the portraits, "
                "or put the files, or links to them, into a folder",
            )
        if not entry.is_dir():
            raise DataError("not a folder", file=entry, fix="make it a folder of images")
    return folders


def unpack(archive: Path) -> Path:
    """Unpack a zip archive of portraits into the cache, once, and return its source folder.

    Raises:
        DataError, OutputError: see `unpack_archive`.
    """
    folder = Paths.cache / "archives" / sha256_file(archive)[:16]
    if not folder.is_dir():
        unpack_archive(archive, folder)
    inner = [entry for entry in folder.iterdir() if entry.name[0] != "."]
    # Archives of a folder hold that folder alone.
    alone = len(inner) == 1 and inner[0].is_dir() and kind_of(inner[0].name) is None
    return inner[0] if alone else folder


def open_source(source: Path) -> Path:
    """Return the folder of a source: the source itself, or what its archive holds (DataError)."""
    return unpack(source) if source.is_file() and zipfile.is_zipfile(source) else source


def check_sources(sources: Mapping[str, str], home: Path = HOME) -> None:
    """Check the folders of all style sets, and that no portraits lie beside them.

    Args:
        sources: folder or archive of each set by its name.
        home: folder in which sets usually lie.

    Raises:
        DataError: see `kind_folders`; or `home` itself has folders of exemplars or faces.
    """
    for source in map(Path, sources.values()):
        if not source.is_file():
            kind_folders(source)
    if not home.is_dir() or any(Path(source) == home for source in sources.values()):
        return
    used = {Path(source).resolve() for source in sources.values()}
    for folder in sorted(path for path in home.iterdir() if path.is_dir()):
        if folder.name in KINDS:
            raise DataError(
                "portraits outside of any style set",
                file=folder,
                limit=f"{home}/NAME/{folder.name}, and NAME in `sets` of params.yaml",
                fix=f"move it to the folder of a set, such as {home}/{next(iter(sources))}",
            )
        if folder.resolve() not in used and any((folder / kind).is_dir() for kind in KINDS):
            shown = one_line(str(folder))
            print(f"not trained: {shown}: no set in `sets` of params.yaml has it as its source")


def main() -> None:
    """Check the sources; exit with code 2 and one line if one is refused."""
    from tasks.shared.runner import explain
    from tasks.shared.sets import read_params

    try:
        check_sources({name: one.source for name, one in read_params().sets.items()})
    except DualStyleGANError as error:
        sys.exit(explain("portraits", error))


if __name__ == "__main__":
    main()
