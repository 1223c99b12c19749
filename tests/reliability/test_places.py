"""Places without permission, elsewhere, or gone: a line before the work, and nothing written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.reliability.running import COMMAND
from tests.reliability.writers import content
from tests.support.portrait_models import tiny_model

# Root may read and write anywhere, unless it gives up these capabilities.
CAPABILITIES = "-dac_override,-dac_read_search"
AS_A_USER = ["setpriv", f"--bounding-set={CAPABILITIES}", "--"] if os.geteuid() == 0 else []
NO_ACCESS, READ_ONLY = 0o000, 0o500
TRANSFER = "transfer photo.png --no-align --style stone"


@contextmanager
def mode(path: Path, bits: int) -> Iterator[None]:
    """Give a path other permissions for a while."""
    before = path.stat().st_mode & 0o777
    path.chmod(bits)
    try:
        yield
    finally:
        path.chmod(before)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a model, a photo, and a folder for results."""
    tiny_model(resolution=256).save_pretrained(tmp_path / "model")
    Image.linear_gradient("L").convert("RGB").save(tmp_path / "photo.png")
    (tmp_path / "results").mkdir()
    return tmp_path


def command(folder: Path, *arguments: str, code: int = 2) -> str:
    """Run the command as somebody to whom permissions apply; return its errors."""
    done = subprocess.run(
        [*AS_A_USER, sys.executable, "-c", COMMAND, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr
    return done.stderr


@pytest.mark.skipif(AS_A_USER != [] and not shutil.which("setpriv"), reason="root without setpriv")
@pytest.mark.parametrize(
    ("place", "bits", "arguments", "words"),
    [
        ("results", READ_ONLY, f"{TRANSFER} -o results/a.png -m model",
         "results/a.png: cannot be written; found: Permission denied"),
        ("results", READ_ONLY, f"{TRANSFER} -o results -m model",
         "cannot be written; found: Permission denied"),
        ("results", READ_ONLY, "add-style photo.png --no-align --name mine -o results/m -m model",
         "results/m: cannot be written; found: Permission denied"),
        ("model/config.json", NO_ACCESS, "styles model",
         "model/config.json: cannot be"),
        ("model", NO_ACCESS, "styles model",
         "model/config.json: cannot be"),
        ("photo.png", NO_ACCESS, f"{TRANSFER} -o a.png -m model",
         "photo.png: cannot be read; found: Permission denied"),
    ],
)  # fmt: skip
def test_what_may_not_be_read_or_written_is_a_line(
    folder: Path, place: str, bits: int, arguments: str, words: str
) -> None:
    before = content(folder)
    with mode(folder / place, bits):
        told = command(folder, *arguments.split())
    assert words in told
    assert told.count("\n") == 1
    assert content(folder) == before


@pytest.mark.skipif(AS_A_USER != [] and not shutil.which("setpriv"), reason="root without setpriv")
def test_weights_that_may_not_be_read_are_not_called_damaged(folder: Path) -> None:
    arguments = f"{TRANSFER} -o a.png -m model"
    with mode(folder / "model/encoder.safetensors", NO_ACCESS):
        told = command(folder, *arguments.split())
    assert "model/encoder.safetensors: cannot be read; found: Permission denied" in told
    assert "delete" not in told


def test_the_projects_model_is_found_from_anywhere_and_left_alone(tmp_path: Path) -> None:
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    for name in ("dualstylegan", "tasks"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, project / name, ignore=ignored)
    tiny_model(resolution=256).save_pretrained(project / "data/sets/demo/models/portrait")
    elsewhere.mkdir()
    Image.linear_gradient("L").convert("RGB").save(elsewhere / "photo.png")
    before = content(project)
    arguments = f"{TRANSFER} -o result.png"
    done = subprocess.run(
        [sys.executable, "-B", "-c", COMMAND, *arguments.split()],
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    with Image.open(elsewhere / "result.png") as result:
        assert result.size == (256, 256)
    assert sorted(path.name for path in elsewhere.iterdir()) == ["photo.png", "result.png"]
    assert content(project) == before


def test_an_environment_that_came_with_a_copy_is_made_anew(tmp_path: Path) -> None:
    """Its commands would run the project that it was copied from."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    environment = tmp_path / ".venv"
    for home, kept in ((str(tmp_path), True), ("", True), ("/somewhere/else", False)):
        environment.mkdir()
        (environment / ".installed").write_text(home)
        os.utime(environment / ".installed", (2**33, 2**33))
        subprocess.run(["make", "-n", "install"], cwd=tmp_path, check=True, capture_output=True)
        assert environment.exists() is kept, home
        shutil.rmtree(environment, ignore_errors=True)
