"""Exemplars at the resolution of their files, as the texture of large images is measured by them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dualstylegan.io.images import write_png
from tasks.evaluate import read_originals
from tasks.shared.paths import Paths


def test_an_exemplar_is_cropped_from_its_file_at_the_size_it_has_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 255, (200, 160, 3), dtype=np.uint8)
    write_png(Paths.portraits / "style" / "ada.png", Image.fromarray(pixels))
    quad = [[20.0, 30.0], [20.0, 130.0], [120.0, 130.0], [120.0, 30.0]]
    rows = [
        {"kind": kind, "name": "ada", "file": "ada.png", "quad": np.ravel(corners).tolist()}
        # a content face of the same name has a crop of its own
        for kind, corners in (("content", np.array(quad) / 2), ("style", quad))
    ]
    Paths.aligned.mkdir(parents=True)
    pd.DataFrame(rows).to_parquet(Paths.manifest)
    crop = read_originals()("ada")
    assert crop.size == (100, 100)
    assert np.abs(np.asarray(crop, float) - pixels[30:130, 20:120]).mean() < 12
