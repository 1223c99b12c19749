"""The wheel: the library alone, typed, with its licence, and of use without the project."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT

SOURCES = ("pyproject.toml", "README.md", "LICENSE", "NOTICE")
PACKAGES = ("dualstylegan", "tasks", "flows", "tests", "examples", "benchmarks", "docs")
# An interpreter that finds the wheel's content and third-party packages, and not this checkout.
WITHOUT_PROJECT = """
import sys
from pathlib import Path
sys.meta_path = [f for f in sys.meta_path if "editable" not in repr(f).lower()]
elsewhere = [p for p in sys.path if p and not (Path(p) / "tasks").is_dir()]
sys.path[:] = [sys.argv.pop(1), *elsewhere]
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel offline from a copy of the sources and return its path."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in PACKAGES:
        hidden = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / name, source / name, ignore=hidden)
    for name in SOURCES:
        shutil.copy(ROOT / name, source / name)
    options = ("--no-deps", "--no-build-isolation", "--no-index", "-q", "-w", str(folder))
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(source)], check=True)
    (built,) = folder.glob("dualstylegan-*.whl")
    return built


def test_the_wheel_holds_the_library_alone(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (n for n in names if n.endswith(".dist-info/METADATA"))
        text = archive.read(metadata).decode()
    assert {n.split("/")[0] for n in names if ".dist-info/" not in n} == {"dualstylegan"}
    assert "dualstylegan/py.typed" in names
    for folder in ("studio/static", "web/site"):
        files = [p for p in (ROOT / "dualstylegan" / folder).rglob("*") if p.is_file()]
        assert {str(p.relative_to(ROOT)) for p in files} <= set(names)
    modules = {str(p.relative_to(ROOT)) for p in (ROOT / "dualstylegan").rglob("*.py")}
    assert {n for n in names if n.endswith(".py")} == modules
    assert "License-Expression: Apache-2.0" in text
    for licence in ("LICENSE", "NOTICE"):
        assert any(n.endswith(f".dist-info/licenses/{licence}") for n in names)


def test_the_command_of_the_wheel_refuses_the_registry_in_one_line(
    wheel: Path, tmp_path: Path
) -> None:
    """A registry address, or no model at all: a typed error with its fix, no traceback."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    for arguments, message in (
        (["models:/portrait@champion"], "no plug-in fetches models from such an address"),
        ([], "no model is named"),
    ):
        code = f"{WITHOUT_PROJECT}\nfrom dualstylegan.cli import main\nmain()"
        command = [sys.executable, "-P", "-c", code, str(tmp_path / "site"), "styles", *arguments]
        environment = {"PATH": "/usr/bin:/bin"}
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 2, done.stderr
        assert message in done.stderr
        assert "folder" in done.stderr
        assert "Traceback" not in done.stderr
