"""Exemplars at the resolution of their files, to which large images are compared in texture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dualstylegan.io.images import write_png
from tasks.evaluate import read_originals
from tasks.shared.dataframes import write_dataframe
from tasks.shared.paths import Paths


def test_an_exemplar_is_cropped_from_its_file_at_the_size_it_has_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = np.random.default_rng(0).integers(0, 255, (10, 8, 3), dtype=np.uint8)
    portrait = Image.fromarray(blocks).resize((160, 200))
    write_png(Paths.portraits / "style" / "ada.png", portrait)
    quad = [[20.0, 30.0], [20.0, 130.0], [120.0, 130.0], [120.0, 30.0]]
    rows = [
        {"kind": kind, "name": "ada", "file": "ada.png", "quad": np.ravel(corners).tolist()}
        # a content face of the same name has a crop of its own
        for kind, corners in (("content", np.array(quad) / 2), ("style", quad))
    ]
    Paths.aligned.mkdir(parents=True)
    write_dataframe(Paths.manifest, pd.DataFrame(rows))
    crop = read_originals()("ada")
    assert crop.size == (100, 100)
    wanted = np.asarray(portrait.crop((20, 30, 120, 130)), float)
    assert np.abs(np.asarray(crop, float) - wanted).mean() < 2
