"""Command `dualstylegan video`: faults are told at once, in a line, and nothing is written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("av", reason="videos need the extra [video]")

from tests.support.portrait_models import tiny_model
from tests.support.videos import make_video

MAIN = "from dualstylegan.cli import main; main()"
GOOD = {"video": "in.mp4", "--style": "stone", "-o": "out.mp4", "-m": "model"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a video and a model of 256 px."""
    root = tmp_path_factory.mktemp("work")
    make_video(root / "in.mp4", [Image.new("RGB", (64, 64))] * 2)
    tiny_model(resolution=256).save_pretrained(root / "model")
    return root


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"video": "missing.mp4"}, "missing.mp4: no such video file"),
        ({"-o": "out.gif"}, "not a format for videos"),
        ({"-o": "in.mp4"}, "would replace the video itself"),
        ({"-o": "/proc/none/out.mp4"}, "cannot be written"),
        ({"--style": "stoned"}, "did you mean stone?"),
        ({"--style": "stone,blue-heron"}, "a video has one style or mix"),
        ({"--size": "512"}, "the size exceeds the model's resolution"),
    ],
)
def test_faults_of_a_request_are_told_before_torch_is_loaded(
    folder: Path, changes: dict[str, str], said: str
) -> None:
    given = GOOD | changes
    arguments = ["video", given.pop("video")]
    for name, value in given.items():
        arguments += [name, value]
    code = (
        f"import sys; sys.argv = ['dualstylegan', *{arguments!r}]\n"
        "import atexit; atexit.register(lambda: print('torch' in sys.modules))\n" + MAIN
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout.split() == ["False"]
    assert sorted(path.name for path in folder.iterdir()) == ["in.mp4", "model"]


def test_without_pyav_the_extra_is_named(folder: Path) -> None:
    code = (
        "import sys; sys.modules['av'] = None\n"
        "sys.argv = ['dualstylegan', 'video', 'in.mp4', '--style', 'stone', '-o', 'out.mp4']\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code + MAIN], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "pip install 'dualstylegan[video]'" in done.stderr
