"""`python -m tasks.verify` finds what DVC, which trusts times and sizes, does not."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from dualstylegan.errors import DataError
from tasks.verify import faults_of, faults_of_base, read_lock

PIPELINE = """stages:
  make:
    cmd: mkdir -p out/a && echo 1 > out/a/b && echo 2 > out/a-b && echo 3 > out/z && echo 4 > one
    outs: [out, one]
"""


def _dvc(project: Path, *words: str) -> str:
    run = subprocess.run(
        ["dvc", *words], cwd=project, check=True, capture_output=True, text=True, timeout=120
    )
    return run.stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = tmp_path_factory.mktemp("made")
    _dvc(project, "init", "--no-scm", "-q")
    (project / "dvc.yaml").write_text(PIPELINE)
    _dvc(project, "repro", "-q")
    return project


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "project"
    shutil.copytree(made, copy, copy_function=shutil.copy2)
    return copy


def _faults(project: Path) -> list[str]:
    return [
        f"{fault.path}: {fault.problem}"
        for output in read_lock(project)
        for fault in faults_of(project, output)
    ]


def test_what_dvc_has_made_is_whole(project: Path) -> None:
    assert _faults(project) == []


def test_a_flipped_bit_under_an_unchanged_time_is_found(made: Path) -> None:
    path = made / "out/a/b"
    whole, before = path.read_bytes(), path.stat()
    path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    try:
        assert "up to date" in _dvc(made, "status")
        assert _faults(made) == ["out/a/b: changed"]
    finally:
        path.write_bytes(whole)


def test_each_kind_of_fault_is_named(project: Path) -> None:
    (project / "one").write_text("5\n")
    (project / "out/z").unlink()
    (project / "out/more").write_text("x")
    assert _faults(project) == ["one: changed", "out/more: not the stage's", "out/z: missing"]
    shutil.rmtree(project / "out")
    assert _faults(project) == ["one: changed", "out: missing"]


def test_a_folder_counts_as_changed_where_its_listing_is_lost(project: Path) -> None:
    shutil.rmtree(project / ".dvc/cache")
    assert _faults(project) == []
    (project / "out/z").write_text("9\n")
    assert _faults(project) == ["out: changed"]


def test_a_changed_base_model_is_found(tmp_path: Path) -> None:
    base = tmp_path / "data/base"
    base.mkdir(parents=True)
    for name in ("a.safetensors", "b.safetensors"):
        (base / name).write_bytes(b"weights " + name.encode())
    assert faults_of_base(tmp_path) == []
    for words in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    assert faults_of_base(tmp_path) == []
    before = (base / "a.safetensors").stat()
    (base / "a.safetensors").write_bytes(b"Weights a.safetensors")
    os.utime(base / "a.safetensors", ns=(before.st_atime_ns, before.st_mtime_ns))
    (base / "b.safetensors").unlink()
    told = [str(fault) for fault in faults_of_base(tmp_path)]
    assert [line.partition(";")[0] for line in told] == [
        "data/base/a.safetensors: changed",
        "data/base/b.safetensors: missing",
    ]
    assert told[0].endswith("fix: `git checkout -- data/base/a.safetensors`")


def test_a_project_without_a_run_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing was made here yet"):
        read_lock(tmp_path)
