"""Command `dualstylegan video`: faults are told at once, in a line, and nothing is written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("av", reason="videos need the extra [video]")

from tests.support.portrait_models import tiny_model
from tests.support.requests import Answered, answered, arguments_of
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


FAULTS: list[tuple[dict[str, str], str]] = [
    ({"video": "missing.mp4"}, "missing.mp4: no such video file"),
    ({"-o": "out.gif"}, "not a format for videos"),
    ({"-o": "in.mp4"}, "would replace the video itself"),
    ({"-o": "/proc/none/out.mp4"}, "cannot be written"),
    ({"--style": "stoned"}, "did you mean stone?"),
    ({"--style": "stone,blue-heron"}, "a video has one style or mix"),
    ({"--size": "512"}, "the size exceeds the model's resolution"),
]


@pytest.fixture(scope="module")
def faulty(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Answered]:
    """Return the ends of the faulty requests."""
    return answered(
        [arguments_of("video", GOOD | changes) for changes, _ in FAULTS],
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
