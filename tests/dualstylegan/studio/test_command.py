"""Command `dualstylegan serve`: from the start to Ctrl-C, and what keeps it from starting."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from dualstylegan.errors import SettingsError
from dualstylegan.studio import command
from dualstylegan.studio.server import listen
from tests.support.portrait_models import STYLE_NAMES, tiny_model

MAIN = "from dualstylegan.cli import main; main()"


def test_it_prints_its_address_serves_and_ends_in_a_line(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path / "model")
    arguments = ["serve", "--model", str(tmp_path / "model"), "--port", "0"]
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+/", line)
    assert found, line
    with urlopen(f"{found[0]}api/styles") as answer:
        assert [one["name"] for one in json.load(answer)["styles"]] == list(STYLE_NAMES)
    with urlopen(found[0]) as answer:
        assert b"Portrait studio" in answer.read()
    process.send_signal(signal.SIGINT)
    shown, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert shown == ""
    assert errors == "studio closed\n"


def test_a_port_that_is_taken_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=r"cannot listen.*another --port"):
            listen("127.0.0.1", port)
    for port in (-1, 70_000):
        with pytest.raises(SettingsError, match=r"cannot listen"):
            listen("127.0.0.1", port)


def test_missing_packages_are_named_with_their_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"starlette, uvicorn missing.*dualstylegan\[serve\]"):
        command.require_server()
