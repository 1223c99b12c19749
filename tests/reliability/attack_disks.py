"""Attack by file systems that are full, without inodes, read-only, or of somebody else."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import ROOT
from tests.reliability.writers import content

OUTCOMES = (
    "import json, pathlib, sys; from tests.reliability.writers import outcomes\n"
    "sys.stdout.write('\\n' + json.dumps(outcomes(pathlib.Path(sys.argv[1]))))\n"
)
WRITE_ALL = (
    "import pathlib, sys; from tests.reliability.writers import WRITERS\n"
    "for write in WRITERS.values(): write(pathlib.Path(sys.argv[1]))\n"
)
USER = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"]
SIZE = "200m"


@contextmanager
def mounted(place: Path, options: str) -> Iterator[Path]:
    """Mount an empty file system in memory."""
    place.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path) -> None:
    """Take all space but for a few pages."""
    with open(place / "filler", "wb", buffering=0) as filler:
        for size in (1 << 20, 1 << 12):
            try:
                while True:
                    filler.write(bytes(size))
            except OSError:
                continue
        filler.truncate(filler.tell() - (1 << 14))


def use_up_inodes(place: Path) -> None:
    """Make empty files until the file system holds no more."""
    try:
        for number in range(1 << 20):
            (place / f"filler-{number}").touch()
    except OSError:
        return


def run(code: str, folder: Path, root: Path, before: tuple[str, ...] = ()) -> str:
    """Run code of the attacked checkout on a folder; return what it prints."""
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{ROOT}"}
    command = [*before, sys.executable, "-c", code, str(folder)]
    done = subprocess.run(
        command, cwd=folder.parent, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def outcome(folder: Path, root: Path, before: tuple[str, ...] = ()) -> str:
    """Return the figures of all writers on a folder where writing fails."""
    old = content(folder)
    found = json.loads(run(OUTCOMES, folder, root, before).splitlines()[-1])
    failed = {name: kind for name, (kind, _) in found.items() if kind != "none"}
    typed = sum(kind == "OutputError" for kind in failed.values())
    others = {name: kind for name, kind in failed.items() if kind != "OutputError"}
    now = content(folder)
    # a small file may still fit; hidden ones are leftovers
    kept = all(now.get(path) == data for path, data in old.items() if _root(path) in failed)
    hidden = [path for path in now if path not in old and "/." in f"/{path}"]
    return (
        f"{typed} of {len(failed)} failing writers of {len(found)} say it in a sentence"
        f"{f' ({others})' if others else ''}; old content kept: {'yes' if kept else 'NO'}; "
        f"leftovers: {len(hidden)}"
    )


NAMES = {
    "bytes": "bytes", "text": "text", "facts.json": "json", "a.png": "picture",
    "t.safetensors": "tensors", "s.safetensors": "state", "codes.parquet": "codes",
    "frame.parquet": "frame", "curves.parquet": "curves", "model": "model", "half": "half",
    "sampler.safetensors": "sampler", "film.mp4": "video", "film.webp": "film",
    "g.pt": "checkpoint", "c.npy": "dictionary", "key.bin": "cache", "key.json": "cache",
}  # fmt: skip


def _root(path: str) -> str:
    """Return the writer of a path."""
    return NAMES.get(path.split("/")[0], "")


def attack(rounds: int, rng: random.Random, folder: Path, root: Path) -> list[str]:
    """Run every writer on file systems that refuse."""
    if os.geteuid() != 0:
        return ["left out: file systems are mounted by root alone"]
    lines = []
    with mounted(folder / "space", f"size={SIZE}") as place:
        (place / "folder").mkdir()
        run(WRITE_ALL, place / "folder", root)
        fill(place)
        lines.append(f"full: {outcome(place / 'folder', root)}")
    with mounted(folder / "inodes", "size=200m,nr_inodes=150") as place:
        (place / "folder").mkdir()
        run(WRITE_ALL, place / "folder", root)
        use_up_inodes(place)
        lines.append(f"no inodes: {outcome(place / 'folder', root)}")
    with mounted(folder / "fixed", "size=200m") as place:
        (place / "folder").mkdir()
        run(WRITE_ALL, place / "folder", root)
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        lines.append(f"read-only: {outcome(place / 'folder', root)}")
    (folder / "foreign" / "folder").mkdir(parents=True)
    run(WRITE_ALL, folder / "foreign" / "folder", root)
    (folder / "foreign" / "folder").chmod(0o500)
    lines.append(
        f"no permission: {outcome(folder / 'foreign' / 'folder', root, before=tuple(USER))}"
    )
    (folder / "foreign" / "folder").chmod(0o700)
    return lines
