"""The stage runner, progress and the cache."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from dualstylegan.errors import DataError, SettingsError
from dualstylegan.io.files import read_json
from tasks.shared.caching import cache_key
from tasks.shared.networks import open_networks
from tasks.shared.paths import Paths
from tasks.shared.progress import Progress
from tasks.shared.runner import load_settings, run_stage
from tests.support.settings import shipped


def test_faults_become_a_line_and_code_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def fail() -> None:
        raise DataError("no portraits", file="here", fix="add some")

    with pytest.raises(SystemExit) as ended:
        run_stage("align", fail)
    assert ended.value.code == 2
    assert capsys.readouterr().err == "align: DataError: here: no portraits; fix: add some\n"
    assert not Paths.timings.exists()
    with pytest.raises(SystemExit):
        load_settings()
    assert "params.yaml" in capsys.readouterr().err


def test_errors_of_the_operating_system_and_interrupts_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def fill_disk() -> None:
        with open("/dev/full", "wb") as handle:
            handle.write(b"x")

    def interrupt() -> None:
        raise KeyboardInterrupt

    def fail_to_list() -> None:
        list((tmp_path / "absent").iterdir())

    for work, code, words in (
        (fill_disk, 2, "No space left on device"),
        (fail_to_list, 2, "absent"),
        (interrupt, 130, "stopped"),
    ):
        with pytest.raises(SystemExit) as ended:
            run_stage("align", work)
        assert ended.value.code == code
        told = capsys.readouterr().err.strip()
        assert words in told
        assert "\n" not in told
    (tmp_path / "data").rename(tmp_path / "former")
    (tmp_path / "data").write_text("a file where the stage writes its seconds")
    with pytest.raises(SystemExit) as ended:
        run_stage("align", lambda: None)
    assert ended.value.code == 2


def test_seconds_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_stage("align", lambda: None)
    assert 0 <= read_json(Paths.timings / "align.json")["seconds"] < 5


def test_keys_tell_everything_apart() -> None:
    assert cache_key("a", 1) == cache_key("a", 1)
    assert (
        len({cache_key("a", 1), cache_key("a", 2), cache_key("a", "1"), cache_key("a", [1])}) == 4
    )


def test_progress_writes_plain_lines_without_a_terminal() -> None:
    stream = io.StringIO()
    progress = Progress("invert", 3, "faces", stream)
    for done in range(4):
        progress(done, f"face{done}")
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("invert: 0/3 faces")
    assert lines[-1].startswith("invert: 3/3 faces (0:00, 0:00 left) face3")
    assert "\r" not in stream.getvalue()


def test_a_working_size_that_the_embedded_discriminator_cannot_judge_is_refused_at_once() -> None:
    with pytest.raises(SettingsError, match=r"256 px.*128"):
        open_networks(shipped().profile.model_copy(update={"working_size": 256}))
