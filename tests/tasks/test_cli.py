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


def test_help_answers_at_once_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['dualstylegan', '--help']; from tasks.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'pandas', 'mlflow') if m in sys.modules])"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # CPU time, since other work on the machine says nothing of ours.
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert "transfer" in shown.stdout
    assert shown.stdout.rstrip().endswith("[]")
    assert seconds < 1.0  # 0.3 s when measured
