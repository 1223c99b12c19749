"""Projects with a real stage that is long enough to be stopped."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch

from dualstylegan.codes.tables import CodeTable, write_codes
from tests.support.settings import write_params

ROWS, WIDTH = 14, 64
DVC = """
stages:
  sampler:
    cmd: python -m tasks.sampler
    deps:
      - data/sets/demo/codes/refined.parquet
    outs:
      - data/sets/demo/models/sampler
"""


def sampler_project(folder: Path, epochs: int = 5000) -> Path:
    """Write a project whose stage `sampler` trains for minutes; return its folder."""
    folder.mkdir(parents=True)
    write_params(folder, {"sampler": {"epochs": epochs}})
    codes_NLD = torch.randn(6, ROWS, WIDTH, generator=torch.Generator().manual_seed(0))
    names = tuple(f"exemplar-{number}" for number in range(len(codes_NLD)))
    table = CodeTable(names, names, "z_plus", codes_NLD, "0" * 64)
    write_codes(folder / "data/sets/demo/codes/refined.parquet", table)
    return folder


def with_dvc(folder: Path) -> Path:
    """Give a project a graph of its one stage; return its folder."""
    (folder / "dvc.yaml").write_text(DVC.lstrip("\n"))
    init = [sys.executable, "-m", "dvc", "init", "--no-scm", "-q"]
    subprocess.run(init, cwd=folder, check=True)
    return folder
