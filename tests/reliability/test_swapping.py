"""A folder that is replaced is there all the time, read as one generation, and leaves nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dualstylegan.errors import CheckpointError, DataError
from dualstylegan.io.files import (
    atomic_directory,
    read_generation,
    scratch_folder,
    write_bytes,
)
from dualstylegan.io.processes import exchange
from dualstylegan.io.temporaries import sweep
from dualstylegan.portrait.folder import read_folder
from tests.conftest import ROOT
from tests.support.portrait_models import tiny_model

WRITE = """
import sys
from pathlib import Path
from dualstylegan.io.files import atomic_directory
for number in range(1_000_000):
    with atomic_directory(Path(sys.argv[1])) as folder:
        for name in ("first", "second", "third"):
            (folder / name).write_text(str(number))
"""
KILLED = """
import os, signal, sys
from pathlib import Path
from dualstylegan.io.files import atomic_directory, atomic_write
with atomic_directory(Path(sys.argv[1])) as folder, atomic_write(Path(sys.argv[2])) as file:
    (folder / "weights").write_bytes(bytes(1 << 16))
    file.write(bytes(1 << 16))
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def exchanges(folder: Path) -> bool:
    """Return True if the file system of a folder exchanges names."""
    for name in ("one", "other"):
        (folder / name).mkdir()
    done = exchange(folder / "one", folder / "other")
    for name in ("one", "other"):
        (folder / name).rmdir()
    return done


def numbers(folder: Path) -> set[str]:
    """Read the number in each file, slowly: a folder may be replaced in between."""
    found = set()
    for name in ("first", "second", "third"):
        found.add((folder / name).read_text())
        time.sleep(0.001)
    return found


def test_readers_see_one_whole_generation_during_swaps(tmp_path: Path) -> None:
    if not exchanges(tmp_path):
        pytest.skip("this file system does not exchange names")
    folder = tmp_path / "model"
    with atomic_directory(folder) as first:
        for name in ("first", "second", "third"):
            (first / name).write_text("-1")
    writer = subprocess.Popen([sys.executable, "-c", WRITE, str(folder)], cwd=ROOT)
    seen: list[set[str]] = []
    end = time.monotonic() + 60
    try:
        while (len(seen) < 100 or len(set(map(str, seen))) < 10) and time.monotonic() < end:
            assert folder.is_dir()
            seen.append(read_generation(folder, numbers))
    finally:
        writer.kill()
        writer.wait()
    assert len(seen) >= 100
    assert all(len(one) == 1 for one in seen), seen
    with atomic_directory(folder):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_errors_name_the_folder_that_was_asked_for(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "encoder.safetensors").unlink()
    with pytest.raises(CheckpointError) as refused:
        read_folder(tmp_path / "model")
    assert refused.value.file == str(tmp_path / "model" / "encoder.safetensors")
    assert "/proc/" not in str(refused.value)
    with pytest.raises(CheckpointError, match="no portrait model"):
        read_folder(tmp_path / "absent")


def test_errors_in_a_folder_that_is_being_written_name_its_own_name(tmp_path: Path) -> None:
    with pytest.raises(DataError) as refused, atomic_directory(tmp_path / "model") as folder:
        raise DataError("unusable", file=folder / "config.json")
    assert refused.value.file == str(tmp_path / "model" / "config.json")


def test_leftovers_of_killed_writers_go_with_the_next_write(tmp_path: Path) -> None:
    targets = [tmp_path / "model", tmp_path / "table"]
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", KILLED, *map(str, targets)], cwd=ROOT)
        assert done.returncode == -signal.SIGKILL
    left = {path.name.rsplit(".", 1)[1] for path in tmp_path.iterdir()}
    assert left == {"tmp", "lock"}
    with atomic_directory(targets[0]):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_what_lives_or_is_foreign_is_not_swept(tmp_path: Path) -> None:
    others = [tmp_path / name for name in (".keep", ".a.lock", ".notes.tmp", "x.123456789abc.tmp")]
    # a number that no process has, and this one's parent, which lives
    recent = [tmp_path / f".model.{os.getppid()}.123456789abc.tmp"]
    for path in (*others, *recent):
        path.touch()
    dead = tmp_path / ".model.4194304.123456789abc.tmp"
    dead.mkdir()
    with atomic_directory(tmp_path / "model"):
        being_made = [p for p in tmp_path.iterdir() if p.name.startswith(".model.")]
        sweep(tmp_path)
        assert set(being_made) <= set(tmp_path.iterdir())
    assert set(tmp_path.iterdir()) == {*others, *recent, tmp_path / "model"}


def test_a_folder_behind_a_link_is_replaced_there(tmp_path: Path) -> None:
    (tmp_path / "disk/model").mkdir(parents=True)
    (tmp_path / "model").symlink_to(tmp_path / "disk/model")
    with atomic_directory(tmp_path / "model") as folder:
        write_bytes(folder / "new", b"")
    assert (tmp_path / "model").is_symlink()
    assert (tmp_path / "disk/model/new").exists()
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["model"]


def test_a_scratch_folder_is_private_and_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with scratch_folder() as folder:
        assert folder.stat().st_mode & 0o077 == 0
        assert folder.parent == tmp_path
    assert not folder.exists()
