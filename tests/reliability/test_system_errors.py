"""Errors of the operating system at every writer: one sentence, and the old content stays."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dualstylegan.errors import OutputError
from dualstylegan.finetuning.trainer import RunPlan, Trainer
from dualstylegan.io.checkpoints import load_state
from tests.conftest import ROOT
from tests.reliability.projects import sampler_project
from tests.reliability.running import COMMAND
from tests.reliability.writers import WRITERS, content, outcomes
from tests.support.portrait_models import tiny_model
from tests.support.slope import Slope

# Blocks of 512 or 1,024 bytes, as shells have it: nothing of use can be written.
LIMITED = ["sh", "-c", 'ulimit -f 1; exec "$@"', "sh", sys.executable]
OUTCOMES = (
    "import json, pathlib, sys; from tests.reliability.writers import outcomes\n"
    "text = json.dumps(outcomes(pathlib.Path(sys.argv[1])))\n"
    "sys.stdout.write(text)\n"
)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every writer has written once."""
    folder = tmp_path_factory.mktemp("written") / "folder"
    for write in WRITERS.values():
        write(folder)
    return folder


def assert_typed(found: dict[str, list[str]], folder: Path, cause: str) -> None:
    """Every error is an OutputError that names the place, the cause and a fix."""
    assert set(found) == set(WRITERS)
    for name, (kind, text) in found.items():
        assert kind == "OutputError", (name, kind, text)
        assert str(folder) in text, (name, text)
        assert ".tmp" not in text, (name, text)
        assert cause in text, (name, text)
        assert "fix: " in text, (name, text)


def test_every_writer_is_told_that_its_files_may_not_grow(written: Path) -> None:
    """A limit of the system, met by the real system calls: the kernel refuses the write."""
    before = content(written)
    done = subprocess.run(
        [*LIMITED, "-c", OUTCOMES, str(written)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert_typed(json.loads(done.stdout), written, "File too large")
    assert content(written) == before


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_errors_that_come_late_are_typed_as_well(
    written: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A file system that takes the bytes and fails as they go to the disk."""

    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    before = content(written)
    monkeypatch.setattr(os, "fsync", fail)
    assert_typed(outcomes(written), written, os.strerror(number))
    assert content(written) == before


def test_a_training_goes_on_after_room_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = RunPlan(
        steps=6, seed=0, average_decay=0.5, save_seconds=0, picture_steps=0, fingerprint="f" * 64
    )
    whole = Trainer(Slope(), plan, tmp_path / "whole.safetensors")
    whole.run()
    state, sync, saves = tmp_path / "state.safetensors", os.fsync, []

    def fill(descriptor: int) -> None:
        saves.append(descriptor)
        if len(saves) > 6:  # a save flushes its file, then its folder
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fill)
    with pytest.raises(OutputError, match="No space left"):
        Trainer(Slope(), plan, state).run()
    assert load_state(state)["step"] == 3
    monkeypatch.setattr(os, "fsync", sync)
    resumed = Trainer(Slope(), plan, state)
    resumed.run()
    assert [row["step"] for row in resumed.history] == [1, 2, 3, 4, 5, 6]
    for key, value in whole.averaged_state().items():
        assert torch.equal(resumed.averaged_state()[key], value)


def test_stages_and_commands_end_in_a_line_and_code_two(tmp_path: Path) -> None:
    """In real processes whose files may not grow, and whose output nobody takes."""
    tiny_model().save_pretrained(tmp_path / "model")
    project = sampler_project(tmp_path / "project", epochs=1)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    stage = [*LIMITED, "-m", "tasks.sampler"]
    sheet = [*LIMITED, "-c", COMMAND, "styles", "../model", "--sheet", "sheet.png"]
    full = ["sh", "-c", 'exec "$@" > /dev/full', "sh", sys.executable, "-c", COMMAND]
    for command, file in (
        (stage, "data/sets/demo/models/sampler"),
        (sheet, "sheet.png"),
        ([*full, "styles", "../model"], "No space left"),
    ):
        done = subprocess.run(
            command, cwd=project, env=environment, text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr
        told = done.stderr.splitlines()[-1]
        assert file in told
        assert "fix: " in told
    assert not (project / "data/sets/demo/models/sampler").exists()
    assert not (project / "sheet.png").exists()
