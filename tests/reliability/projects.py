"""Projects with a real stage that is long enough to be stopped."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from PIL import Image

from dualstylegan.codes.tables import CodeTable, write_codes
from dualstylegan.io.checkpoints import save_tensors
from dualstylegan.io.files import write_json
from dualstylegan.networks.discriminator import Discriminator
from dualstylegan.networks.stylegan2 import StyleGAN2
from dualstylegan.published.layout import DISCRIMINATOR_FILE, GENERATOR_FILE, MANIFEST
from tasks.shared.dataframes import write_dataframe
from tests.support.settings import write_params

ROWS, WIDTH = 14, 64
PIXELS = 128
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


def adapt_project(
    folder: Path, weights: Path, steps: int, passes: int, ranks: int, batch: int = 2
) -> Path:
    """Write a project whose stage `adapt` trains a tiny generator by ranks; return its folder."""
    networks, portraits = folder / "data/published", folder / "data/aligned"
    networks.mkdir(parents=True)
    torch.manual_seed(0)
    generator = StyleGAN2(PIXELS, style_dim=WIDTH, mapping_layers=2, channels=[8] * 6)
    save_tensors(networks / GENERATOR_FILE, generator.state_dict())
    discriminator = Discriminator(PIXELS, channels=[8] * 6)
    save_tensors(networks / DISCRIMINATOR_FILE, discriminator.state_dict())
    write_json(networks / MANIFEST, {})
    (folder / "data/weights").symlink_to(weights.resolve())
    names = tuple(f"exemplar-{number}" for number in range(4))
    rows: list[dict[str, Any]] = []
    for kind, number in itertools.product(("style", "content"), range(len(names))):
        path = portraits / kind / f"{names[number]}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (PIXELS, PIXELS), (60 * number, 90, 30)).save(path)
        found = {"kind": kind, "name": names[number], "flags": "", "refused": ""}
        rows.append({**found, "frame": []})
    write_dataframe(portraits / "manifest.parquet", pd.DataFrame(rows))
    codes_NLD = torch.randn(len(names), generator.rows, WIDTH)
    table = CodeTable(names, names, "z_plus", codes_NLD, "0" * 64)
    write_codes(folder / "data/codes/style.parquet", table)
    changes: dict[str, dict[str, Any]] = {
        "profile": {"networks": "data/published", "working_size": PIXELS, "bfloat16": False},
        "runtime": {"ranks": ranks, "save_seconds": 0, "device": "cpu"},
        "evaluate": {"size": PIXELS},
        "adapt": {"steps": steps, "batch": batch, "anchored": 1, "accumulation": passes},
    }
    changes["adapt"]["path_weight"] = 2.0
    write_params(folder, changes)
    return folder
