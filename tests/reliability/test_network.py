"""A photo is found, read and restyled by the command without any network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from PIL import Image

from tests.support.portrait_models import STYLE_NAMES, tiny_model

PROGRAM = """
import os, sys

# a pair of sockets within the process, by which signals are heard, asks nobody
ASKING = "connect bind sendto sendmsg getaddrinfo getnameinfo gethostbyname gethostbyaddr".split()

def forbid(event, arguments):
    if event.startswith("socket.") and event.split(".")[1] in ASKING:
        sys.stderr.write(f"{event} {arguments}")
        os._exit(99)

sys.addaudithook(forbid)
from dualstylegan.cli import main
sys.argv[0] = "dualstylegan"
sys.exit(main())
"""


def _without_network(program: str, *arguments: object, **environment: str) -> int:
    words = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(words, env={**os.environ, **environment}, timeout=120).returncode


def test_a_photo_is_restyled_without_the_network(weights: Path, tmp_path: Path) -> None:
    tiny_model(resolution=256).save_pretrained(tmp_path / "model")
    given = (weights / "astronaut.png", "-m", tmp_path / "model", "--style", STYLE_NAMES[0])
    options = ("--size", 256, "--fit-steps", 1, "-o", tmp_path / "out.png")
    code = _without_network(
        PROGRAM, "transfer", *given, *options, DUALSTYLEGAN_WEIGHTS=str(weights)
    )
    assert code == 0
    with Image.open(tmp_path / "out.png") as result:
        assert result.size == (256, 256)


def test_the_ban_would_be_noticed() -> None:
    resolve = PROGRAM.replace(
        "from dualstylegan.cli",
        "import socket; socket.create_connection(('127.0.0.1', 9))\nfrom os",
    )
    assert _without_network(resolve) == 99
