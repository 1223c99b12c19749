"""Models of a registry reach the command line as folders."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from dualstylegan.errors import CheckpointError
from tasks.cli import portrait_folder, resolve


def test_a_folder_stays_a_folder() -> None:
    assert resolve("data/models/portrait") == Path("data/models/portrait")


def test_the_portrait_model_is_found_inside_a_registered_one(tmp_path: Path) -> None:
    inner = tmp_path / "artifacts" / "portrait"
    inner.mkdir(parents=True)
    with pytest.raises(CheckpointError, match="no portrait model"):
        portrait_folder(tmp_path)
    for name in ("config.json", "model.safetensors"):
        (inner / name).write_text("")
    assert portrait_folder(tmp_path) == inner


def run_code(code: str) -> tuple[str, float]:
    """What a fresh interpreter prints, and its CPU-seconds: other work says nothing of ours."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return shown.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_answers_at_once_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['dualstylegan', '--help']; from tasks.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'pandas', 'mlflow') if m in sys.modules])"
    )
    shown, seconds = run_code(code)
    assert "transfer" in shown
    assert shown.rstrip().endswith("[]")
    assert seconds < 1.0  # 0.2 s when measured


def test_importing_the_package_costs_next_to_nothing() -> None:
    """Beside torch's own import, which it leaves to whoever needs a network."""
    python, torch = run_code("pass")[1], run_code("import torch")[1]
    assert run_code("import dualstylegan")[1] - python < 0.1 * (torch - python)
