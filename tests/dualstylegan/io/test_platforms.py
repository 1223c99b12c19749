"""Files and commands on systems that lack functions of Linux."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from dualstylegan.errors import CheckpointError, OutputError
from dualstylegan.io import processes
from dualstylegan.io.allocator import handing_back, keep_freed_memory
from dualstylegan.io.files import atomic_directory, check_writable, read_generation, write_text
from dualstylegan.published.reader import read_published
from tests.support.portrait_models import tiny_model


def _locking(descriptor: int, mode: int, count: int) -> None:
    """Lock bytes from the descriptor's position on, as Windows' own function does."""
    fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, count, 0, os.SEEK_CUR)


@pytest.fixture(params=["win32", "darwin"])
def elsewhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Take away what another system lacks; nothing of it is replaced but Windows' locks."""
    system = str(request.param)
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(processes, "LINUX", False)
    missing = ["pidfd_open", "O_NOFOLLOW"] if system == "darwin" else []
    if system == "win32":
        missing = ["pathconf", "pread", "pwrite", "geteuid", "pidfd_open", "O_NOFOLLOW"]
        msvcrt = ModuleType("msvcrt")
        msvcrt.locking, msvcrt.LK_NBLCK = _locking, 2  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "msvcrt", msvcrt)
    for name in missing:
        monkeypatch.delattr(os, name, raising=False)
    return system


def test_folders_and_files_are_replaced_elsewhere(elsewhere: str, tmp_path: Path) -> None:
    for text in ("old", "new"):
        check_writable(tmp_path / "model")
        with atomic_directory(tmp_path / "model") as folder:
            write_text(folder / "a.txt", text)
    read = read_generation(tmp_path / "model", lambda folder: (folder / "a.txt").read_text())
    assert read == "new"
    assert [path.name for path in tmp_path.iterdir() if path.name[0] != "."] == ["model"]
    with pytest.raises(OutputError, match="give a shorter name"):
        check_writable(tmp_path / ("x" * 300))


def test_a_model_is_saved_and_loaded_elsewhere(elsewhere: str, tmp_path: Path) -> None:
    model = tiny_model()
    model.save_pretrained(tmp_path / "model")
    assert type(model).from_pretrained(tmp_path / "model").digest == model.digest


def test_processes_and_memory_are_left_alone_elsewhere(elsewhere: str) -> None:
    assert not keep_freed_memory()
    with handing_back():
        pass
    assert processes.guarded(["a", "b"]) == ["a", "b"]
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    if elsewhere == "darwin":
        assert not processes.is_alive(ended.pid)


def test_published_files_are_refused_where_nothing_limits_their_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dualstylegan.published.reader.find_spec", lambda name: None)
    (tmp_path / "g.pt").write_bytes(b"x" * 100)
    with pytest.raises(CheckpointError, match=r"limits no process.*Linux or macOS.*copy the model"):
        read_published(tmp_path / "g.pt")


def test_a_name_that_the_terminal_cannot_show_is_escaped(tmp_path: Path) -> None:
    model = tiny_model()
    names = ("\N{FOX FACE} fox", *model.styles.names[1:])
    model.config = model.config.model_copy(update={"styles": names})
    model.save_pretrained(tmp_path / "model")
    code = "from dualstylegan.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "styles", str(tmp_path / "model")],
        env={**os.environ, "PYTHONIOENCODING": "cp1252"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("\\U0001f98a fox")
