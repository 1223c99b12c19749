"""Recovery of a killed run, and metrics and plots as DVC shows them."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

from tests.support.standin import Project

MEASURE = """
  measure:
    cmd: python measure.py
    deps:
      - out/join
    outs:
      - curve.csv
    metrics:
      - metrics.json
plots:
  - curve.csv:
      x: step
"""
MEASURE_CODE = """
import json
json.dump({"kid": {"value": 0.25}}, open("metrics.json", "w"))
open("curve.csv", "w").write("step,loss\\n1,0.5\\n2,0.25\\n")
"""


def wait_for_stage(project: Project, name: str, seconds: float = 60) -> None:
    log, end = project.folder / "ran.log", time.monotonic() + seconds
    while not (log.exists() and name in log.read_text().split()):
        assert time.monotonic() < end, f"{name} did not start"
        time.sleep(0.05)


def test_a_killed_stage_is_run_again_and_nothing_else(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    project.write()
    (project.folder / "hold-right").touch()
    with project.daemon("-m", "dvc", "repro") as process:
        wait_for_stage(project, "right")
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    done = project.ran()
    assert done[0] == "seed"
    assert done[-1] == "right"
    project.run("-m", "dvc", "--wait-for-lock", "repro", "-q")
    assert sorted(project.ran()) == sorted({"seed", "left", "right", "join"} - set(done[:-1]))
    assert project.result() == "seed1;left1;seed1;right1;join1;"


def test_figures_and_curves_are_shown(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    project.write()
    with (project.folder / "dvc.yaml").open("a") as handle:
        handle.write(MEASURE.lstrip("\n"))
    (project.folder / "measure.py").write_text(MEASURE_CODE)
    project.run("-m", "dvc", "repro", "-q")
    shown = json.loads(project.run("-m", "dvc", "metrics", "show", "--json"))
    assert shown[""]["data"]["metrics.json"]["data"] == {"kid": {"value": 0.25}}
    project.run("-m", "dvc", "plots", "show", "-q", "-o", "plots")
    assert "0.25" in (project.folder / "plots" / "index.html").read_text()
