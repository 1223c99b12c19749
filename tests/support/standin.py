"""Stand-in DVC project whose stages log that they ran, driven by real processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]
STEP = """
import pathlib, sys, time, yaml
name, sources = sys.argv[1], sys.argv[2:]
with open("ran.log", "a") as log:
    log.write(name + "\\n")
trap = pathlib.Path("fail-" + name)
if trap.exists():
    trap.unlink()
    sys.exit("trapped " + name)
hold = pathlib.Path("hold-" + name)
if hold.exists():
    hold.unlink()
    time.sleep(600)
given = yaml.safe_load(open("params.yaml")).get(name, "")
text = "".join(pathlib.Path(s).read_text() for s in sources) + f"{name}{given};"
out = pathlib.Path("out"); out.mkdir(exist_ok=True)
(out / name).write_text(text)
print("made", name)
"""
STAGES = {"seed": (), "left": ("seed",), "right": ("seed",), "join": ("left", "right")}


class Project:
    """Project in which `seed` feeds `left` and `right`, and both feed `join`; one setting each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(HERE),
            "DVC_NO_ANALYTICS": "1",
            "DO_NOT_TRACK": "1",
            "PREFECT_HOME": str(folder.parent / "prefect"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PWD": str(folder),
        }

    def write(self) -> None:
        """Write the project's files and initialise DVC."""
        self.folder.mkdir(parents=True)
        (self.folder / "step.py").write_text(STEP)
        self.set(seed=1, left=1, right=1, join=1)
        lines = ["stages:"]
        for name, needs in STAGES.items():
            read = " ".join(f"out/{n}" for n in needs)
            lines += [f"  {name}:", f"    cmd: python step.py {name} {read}".rstrip()]
            lines += ["    deps:", *(f"      - out/{n}" for n in needs), "      - step.py"]
            lines += ["    params:", f"      - {name}", "    outs:", f"      - out/{name}"]
        (self.folder / "dvc.yaml").write_text("\n".join(lines) + "\n")
        self.run("-m", "dvc", "init", "--no-scm", "-q")

    def set(self, **values: int) -> None:
        """Write params.yaml."""
        text = "".join(f"{name}: {value}\n" for name, value in values.items())
        (self.folder / "params.yaml").write_text(text)

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run Python in the project; returns its output."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=150,
        )
        assert done.returncode == code, done.stdout
        return done.stdout

    def ran(self) -> list[str]:
        """Return the names of the stages that ran since the last call, in order."""
        log = self.folder / "ran.log"
        names = log.read_text().split() if log.exists() else []
        log.unlink(missing_ok=True)
        return names

    def result(self) -> str:
        """Return the output of `join`."""
        return (self.folder / "out" / "join").read_text()

    @contextmanager
    def daemon(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Start a process; end it with all its children on exit."""
        with open(self.folder.parent / "daemon.log", "a") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=self.folder,
                env=self.env,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            for sign in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(process.pid, sign)
                    process.wait(10)
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    continue


def free_port() -> int:
    """Return a free port of the loopback interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
