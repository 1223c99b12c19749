"""Command `dualstylegan`: start-up cost, and faults of a request."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from PIL import Image

from dualstylegan import __version__
from dualstylegan.cli import transfer
from dualstylegan.errors import OutputError
from dualstylegan.io.files import atomic_write
from tests.support.portrait_models import tiny_model
from tests.support.requests import Answered, answered, arguments_of

MAIN = "from dualstylegan.cli import main; main()"


def run_code(code: str) -> tuple[str, float]:
    """Run a fresh interpreter; return what it prints and its CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return shown.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@cache
def seconds_of_torch() -> float:
    """Return the CPU seconds of an import of torch, beside which an answer at once is short."""
    return min(run_code("import torch")[1] for _ in range(2))


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
    assert seconds < 0.5 * seconds_of_torch()  # 0.2 s beside 1 s when measured


def test_importing_the_package_costs_next_to_nothing() -> None:
    """Compare with the import of torch, which the package leaves to its first user."""
    python = run_code("pass")[1]
    assert run_code("import dualstylegan")[1] - python < 0.1 * (seconds_of_torch() - python)


def test_the_package_exports_what_people_use_on_first_use() -> None:
    code = (
        "import sys, dualstylegan; assert 'torch' not in sys.modules\n"
        "from dualstylegan import PortraitModel, StyleLibrary, add_style\n"
        "assert set(dualstylegan.__all__) <= set(dir(dualstylegan))\n"
        "print(PortraitModel.__module__, StyleLibrary.__module__, add_style.__module__)"
    )
    homes = [f"dualstylegan.portrait.{name}" for name in ("model", "styles", "add_style")]
    assert run_code(code)[0].split() == homes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a photo and a model of 256 px."""
    root = tmp_path_factory.mktemp("work")
    Image.linear_gradient("L").convert("RGB").save(root / "photo.png")
    tiny_model(resolution=256).save_pretrained(root / "model")
    (root / "taken.png").mkdir()
    (root / "file").touch()
    return root


GOOD = {"photo": "photo.png", "--style": "stone", "-o": "out.png", "-m": "model"}


FAULTS: list[tuple[dict[str, str], str]] = [
    ({"photo": "missing.jpg"}, "missing.jpg: no such image file"),
    ({"photo": "model"}, "a folder, not an image file"),
    ({"--style": "stoned"}, "did you mean stone?"),
    ({"-m": "nowhere"}, "nowhere: no portrait model"),
    ({"-o": "out.bmp"}, "not a format for results"),
    ({"-o": "taken.png"}, "a folder, not a file"),
    ({"-o": "file/out.png"}, "cannot be written"),
    ({"-o": "/proc/none/out.png"}, "cannot be written"),
    ({"-o": "/dev/null"}, "not a format for results"),
    ({"-o": f"{'x' * 300}.png"}, "give a shorter name"),
    ({"--size": "300"}, "256, 512 or 1024"),
    ({"--size": "512"}, "the size exceeds the model's resolution"),
    ({"--style": "stone,stoned"}, "did you mean stone?"),
    ({"--style": "stone,blue-heron"}, "several styles need a folder"),
    ({"--seed": "1"}, "either --style or --seed"),
    ({"--weights": "1,1,1"}, "found: 3; limit: 14"),
    ({"--weights": "1,many"}, "--weights; found: 1,many"),
    ({"--faces": "0"}, "largest, all, or a number"),
    ({"--faces": "all"}, "several faces are shown in their photo"),
    ({"--structure": "2"}, "structure is out of bounds"),
    ({"--structure": "much"}, "--structure"),
    ({"--fit-steps": "-1"}, "fit_steps is out of bounds"),
    ({"--nosuch": "1"}, "--nosuch"),
]


@pytest.fixture(scope="module")
def faulty(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Answered]:
    """Return the ends of the faulty requests."""
    return answered(
        [arguments_of("transfer", GOOD | changes) for changes, _ in FAULTS],
        folder,
        tmp_path_factory.mktemp("told"),
    )


@pytest.mark.parametrize("number", range(len(FAULTS)), ids=[said for _, said in FAULTS])
def test_faults_of_a_request_are_told_before_torch_is_loaded(
    folder: Path, faulty: list[Answered], number: int
) -> None:
    done = faulty[number]
    assert done.status == 2, done.stderr
    assert FAULTS[number][1] in done.stderr
    assert done.stderr.count("\n") == 1
    assert not done.torch
    assert done.seconds < 0.5 * seconds_of_torch()
    assert not (folder / "out.png").exists()


def test_a_result_that_cannot_be_written_is_saved_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Write to a folder that vanished during the work."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    image = Image.linear_gradient("L").convert("RGB")
    with pytest.raises(OutputError, match="the result is in") as caught:
        transfer._write(Path("/proc/none/out.png"), image)
    (saved,) = tmp_path.glob("*/result.png")
    assert str(saved) in str(caught.value)
    assert Image.open(saved).tobytes() == image.tobytes()


def test_styles_are_listed_with_their_labels(folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "model/config.json").read_text())
    with atomic_write(tmp_path / "config.json") as handle:
        handle.write(json.dumps(config | {"labels": {"stone": "Stein #1"}}).encode())
    code = f"import sys; sys.argv = ['x', 'styles', {str(tmp_path)!r}]\n" + MAIN
    lines = run_code(code)[0].splitlines()
    assert lines[0] == "amber-fox"
    assert lines[-1] == "stone\tStein #1"


def test_styles_of_a_mix_are_checked_before_torch_is_loaded(folder: Path) -> None:
    arguments = ["transfer", "photo.png", "-m", "model", "-o", "mix.png", "--no-align"]
    mix = ["--style", "stone:1", "--style", "blue-heron:-1"]
    code = f"import os, sys; os.chdir({str(folder)!r}); sys.argv = ['x', *{arguments + mix!r}]\n"
    done = subprocess.run([sys.executable, "-c", code + MAIN], capture_output=True, text=True)
    assert done.returncode == 2
    assert "blue-heron:-1; limit: 0 or more" in done.stderr


def test_the_version_is_told() -> None:
    code = "import sys; sys.argv = ['x', '--version']\n" + MAIN
    assert run_code(code)[0] == f"dualstylegan {__version__}\n"


def test_a_gpu_that_is_not_there_is_told_in_a_line(folder: Path) -> None:
    arguments = ["transfer", "photo.png", "-m", "model", "--style", "stone", "-o", "gpu.png"]
    code = f"import sys; sys.argv = ['x', *{arguments!r}, '--device', 'cuda:9']\n" + MAIN
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "no such GPU" in done.stderr


def test_an_interrupt_ends_in_one_line(folder: Path) -> None:
    code = (
        f"import os, sys; os.chdir({str(folder)!r})\n"
        "def interrupted(path): raise KeyboardInterrupt\n"
        "import dualstylegan.portrait.config as config; config.read_config = interrupted\n"
        "sys.argv = ['x', 'styles', 'model']\n"
    )
    done = subprocess.run([sys.executable, "-c", code + MAIN], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "stopped\n")
