"""The command `dualstylegan`: light to start, whatever it is asked."""

from __future__ import annotations

import resource
import subprocess
import sys


def run_code(code: str) -> tuple[str, float]:
    """What a fresh interpreter prints, and its CPU-seconds: other work says nothing of ours."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return shown.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_answers_at_once_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['dualstylegan', '--help']; from dualstylegan.cli import main\n"
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


def test_the_package_exports_what_people_use_on_first_use() -> None:
    code = (
        "import sys, dualstylegan; assert 'torch' not in sys.modules\n"
        "from dualstylegan import PortraitModel, StyleLibrary, add_style\n"
        "assert set(dualstylegan.__all__) <= set(dir(dualstylegan))\n"
        "print(PortraitModel.__module__, StyleLibrary.__module__, add_style.__module__)"
    )
    homes = [f"dualstylegan.portrait.{name}" for name in ("model", "styles", "add_style")]
    assert run_code(code)[0].split() == homes
